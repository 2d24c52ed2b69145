"""``pcinfra local``: the local cloud of this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli.options import confirm, output, yes
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.aws import Target
    from pcinfra.localcloud.process import Endpoint, LocalCloud, Status

_EPILOG = """\b
Every command with --local starts it on demand. For other AWS tools:
  pcinfra local start
  eval "$(pcinfra local start --export)"; aws s3 ls
  AWS_ENDPOINT_URL=http://127.0.0.1:PORT AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws s3 ls
\b
What it holds is kept in .pcinfra/local until `pcinfra local reset`."""


def endpoint(region: str, directory: Path | None = None) -> Target:
    """Return the local cloud of ``directory``, or of this project, as a Target, having started it if need be.

    Raises:
        MissingTool: it is not installed.
        PcinfraError: it does not start.
    """
    from pcinfra.aws import Target

    answer = _cloud(directory).ensure()
    return Target(region, endpoint=answer.url, credentials=answer.credentials, registry=False)


def _in_directory(command: Any) -> Any:
    option = click.option(
        "--directory",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help="Where it keeps its things.  [default: .pcinfra/local beside pcinfra.yaml]",
    )
    return option(command)


@click.group(epilog=_EPILOG)
def local() -> None:
    """The local cloud: AWS's calls answered on this machine, with a real Slurm behind the head node."""


@local.command()
@_in_directory
@click.option("--export", is_flag=True, help="Print the variables that send the AWS CLI there, for eval.")
def start(directory: Path | None, export: bool) -> None:
    """Start it, unless it runs, and print where it answers."""
    answer = _cloud(directory).start()
    click.echo("\n".join(_exports(answer)) if export else answer.url)


@local.command()
@_in_directory
def stop(directory: Path | None) -> None:
    """Stop it and its machines. What it holds is kept for the next start."""
    cloud = _cloud(directory)
    click.echo("stopped" if cloud.stop() else f"no local cloud was running in {cloud.directory}")


@local.command()
@_in_directory
@output
def status(directory: Path | None, output: str) -> None:
    """Show whether it runs, where, and how much it holds."""
    found = _cloud(directory).status()
    if output == "json":
        from pcinfra.ui import print_json

        print_json(_as_json(found))
    else:
        _print(found)


@local.command()
@_in_directory
@yes
def reset(directory: Path | None, yes: bool) -> None:
    """Stop it and forget everything it holds: resources, objects, clusters."""
    cloud = _cloud(directory)
    held = cloud.status().resources
    if held:
        confirm(f"Delete {_listed(held)} of the local cloud?", yes)
    cloud.reset()
    click.echo("reset")


@local.command("fail-node", short_help="Let the machine of a node die.")
@click.argument("node")
@click.option("--cluster", default="", help="Its cluster, when several have a node of that name.")
@_in_directory
def fail_node(node: str, cluster: str, directory: Path | None) -> None:
    """Let the machine of NODE die, as losing its power would: every process of it is killed at once.

    Slurm and ParallelCluster must find out by themselves, and on AWS would do the same:

    \b
      sinfo -Nl              # the node goes down, its job is requeued or ends
      pcinfra local fail-node gpu-st-p5-1
    """
    found = _cloud(directory).fail_node(node, cluster)
    click.echo(f"{node} of cluster {found} is dead")


@local.command(short_help="Let EC2 take a Spot Instance away, with notice.")
@click.argument("node")
@click.option("--seconds", type=click.IntRange(0, 86400), default=120, show_default=True, help="From notice to end.")
@click.option("--soon", is_flag=True, help="Only recommend to leave it: a rebalance recommendation.")
@click.option("--cluster", default="", help="Its cluster, when several have a node of that name.")
@_in_directory
def interrupt(node: str, seconds: int, soon: bool, cluster: str, directory: Path | None) -> None:
    """Let EC2 announce that it takes the Spot Instance of NODE away, and take it when the time is over.

    The notice is where it is on AWS, in the metadata service of the node (http://169.254.169.254). A job that pcinfra
    submitted stops, saves and goes on elsewhere.

    \b
      pcinfra local interrupt gpu-dy-g6-1
      pcinfra local interrupt gpu-dy-g6-1 --seconds 30
    """
    found = _cloud(directory).interrupt(node, cluster, None if soon else seconds)
    said = "EC2 recommends to leave it" if soon else f"EC2 takes it in {seconds} s"
    click.echo(f"{node} of cluster {found}: {said}")


@local.command(short_help="Say how many instances of a type EC2 has.")
@click.argument("instance_type")
@click.argument("count", metavar="COUNT|unlimited", callback=lambda _context, _parameter, text: _count(text))
@_in_directory
def capacity(instance_type: str, count: int | None, directory: Path | None) -> None:
    """Say how many instances of INSTANCE_TYPE this EC2 has. It has any number of what nothing is said about.

    \b
      pcinfra local capacity p5.48xlarge 2           # the third one: InsufficientInstanceCapacity
      pcinfra local capacity p5.48xlarge unlimited
    """
    _cloud(directory).limit(instance_type, count)
    click.echo(f"{instance_type}: {'as many as you like' if count is None else count}")


@local.command("end-reservation", short_help="Say when a capacity block ends.")
@click.argument("reservation")
@click.argument("seconds", type=click.IntRange(0, 10_000_000))
@_in_directory
def end_reservation(reservation: str, seconds: int, directory: Path | None) -> None:
    """Let EC2 say that the nodes of RESERVATION (cr-...) are terminated from SECONDS from now on.

    That is 30 minutes before the end of a capacity block. Jobs that are submitted then stop in time; no node dies by
    this.

    \b
      pcinfra local end-reservation cr-0123456789abcdef0 600
      pcinfra jobs                                  # says when its nodes end
    """
    _cloud(directory).end_reservation(reservation, seconds)
    click.echo(f"{reservation}: its nodes end in {seconds} s")


def _count(text: str) -> int | None:
    if text == "unlimited":
        return None
    if not (text.isascii() and text.isdigit()):
        raise click.BadParameter(f"{text!r} is neither a number nor 'unlimited'")
    return int(text)


def _cloud(directory: Path | None) -> LocalCloud:
    from pcinfra.localcloud.process import LocalCloud

    return LocalCloud(directory or _beside_project())


def _beside_project() -> Path:
    """A project has one local cloud, from whichever of its folders it is asked for; without a project a folder has."""
    from pcinfra.errors import InputError
    from pcinfra.project.load import find

    context = click.get_current_context(silent=True)
    session = context.find_object(Session) if context else None
    named = Path(session.project_file) if session and session.project_file else None
    try:
        folder = find(named).absolute().parent
    except InputError:
        folder = Path.cwd()
    return folder / ".pcinfra" / "local"


def _exports(answer: Endpoint) -> list[str]:
    import shlex

    key_id, secret = answer.credentials
    variables = {
        "AWS_ENDPOINT_URL": answer.url,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
    }
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _print(found: Status) -> None:
    from pcinfra.ui import print_table

    if found.running:
        rows = [("endpoint", found.url), ("pid", str(found.pid)), ("up for", _duration(found.uptime))]
    else:
        rows = [("endpoint", "stopped; `pcinfra local start` starts it")]
    rows.append(("directory", str(found.directory)))
    rows += [(kind, str(number)) for kind, number in found.resources.items()]
    print_table(("local cloud", ""), rows)


def _as_json(found: Status) -> dict[str, Any]:
    return {
        "running": found.running,
        "endpoint": found.url or None,
        "pid": found.pid or None,
        "uptime": round(found.uptime, 1) if found.running else None,
        "directory": str(found.directory),
        "resources": found.resources,
    }


def _listed(held: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in held.items())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m {rest:02}s" if hours else f"{minutes}m {rest:02}s"
