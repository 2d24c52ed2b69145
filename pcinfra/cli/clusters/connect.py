"""``pcinfra cluster connect``."""

from __future__ import annotations

from pathlib import Path

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing, head_node
from pcinfra.cli.session import Session, hurried


@click.command()
@cluster_name
@click.option("--forward", metavar="LOCAL:PORT", help="Forward a port instead: 8888:8888, or 3306:HOST:3306.")
@click.option("--ssh-config", is_flag=True, help="Print lines for ~/.ssh/config instead: ssh, scp and rsync.")
@click.option("--key", metavar="FILE.pub", type=click.Path(path_type=Path), help="With --ssh-config: let this key in.")
@click.option("--stdio", metavar="INSTANCE:PORT", hidden=True, help="Pass bytes on; what --ssh-config lets ssh run.")
@options.pass_session
@click.pass_context
def connect(
    ctx: click.Context,
    session: Session,
    /,
    name: str,
    forward: str | None,
    ssh_config: bool,
    key: Path | None,
    stdio: str | None,
) -> None:
    """Open a shell on the head node of cluster NAME through Session Manager: no open port, no bastion.

    Nothing else has to be installed. The exit status is the shell's, and what is piped in is run, as by ssh. Where the
    AWS CLI and its Session Manager plug-in are installed, they are used; they tell no exit status.

    \b
    pcinfra cluster connect train
    echo 'sinfo; squeue' | pcinfra cluster connect train
    pcinfra cluster connect train --forward 8888:8888             a notebook on the head node
    pcinfra cluster connect train --ssh-config --key ~/.ssh/id_ed25519.pub >> ~/.ssh/config
    rsync -a code/ train:code/
    """
    from pcinfra.clusters import connect as ways
    from pcinfra.errors import UsageError
    from pcinfra.sessions import opening

    if stdio:
        ctx.exit(opening.run_here(hurried(session), ways.destination(stdio), _tell))
    if key and not ssh_config:
        raise UsageError("--key is for --ssh-config", hint=f"pcinfra cluster connect {name} --ssh-config --key {key}")
    wanted = ways.Forward.parse(forward) if forward else None
    existing(session, name)
    if ssh_config:
        click.echo(_ssh_config(session, name, key), nl=False)
        return
    head = head_node(session, name)
    request = ways.request(head.instance_id, head.user, wanted)
    ctx.exit(opening.run(hurried(session), session.target, session.shell, request, _tell))


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _ssh_config(session: Session, name: str, key: Path | None) -> str:
    """Return the lines, after the owner of ``key`` was let in."""
    from pcinfra.clusters import connect as ways

    head = head_node(session, name)
    user = head.user or head.run('printf %s "$USER"').check().stdout.strip()
    identity = ""
    if key:
        head.runs = "/tmp"  # noqa: S108  (nothing is written there)
        head.run(ways.authorizing(key.expanduser().read_text(encoding="utf-8"))).check()
        identity = str(key.expanduser().absolute()).removesuffix(".pub")
        click.echo(f"{key} may log in to {name} as {user}", err=True)
    return ways.ssh_config(_proxy(session, name), name, head.instance_id, user, identity)


def _proxy(session: Session, name: str) -> list[str]:
    """Return this very command, as it can be run from anywhere."""
    import sys

    from pcinfra.project.load import find

    this = Path(sys.argv[0])
    program = [str(this.absolute())] if this.name == "pcinfra" else [sys.executable, "-m", "pcinfra.cli.main"]
    file = find(Path(session.project_file) if session.project_file else None).absolute()
    flags = [*(["--local"] if session.local else []), "-f", str(file)]
    flags += ["--profile", session.profile] if session.profile else []
    return [*program, *flags, "cluster", "connect", name, "--stdio"]
