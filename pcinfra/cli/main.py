"""The root of the command line: global options, lazy commands, and the only place that prints an error and exits."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Any

import click

from pcinfra import __version__
from pcinfra.cli import streams
from pcinfra.cli.lazy import LazyGroup
from pcinfra.cli.session import Session
from pcinfra.errors import Interrupted, PcinfraError

# name -> (module, attribute, one line for --help); the module is imported when the command is used.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("pcinfra.cli.init", "init", "Write a commented pcinfra.yaml."),
    "plan": ("pcinfra.cli.up", "plan", "Show what `up` would change; change nothing."),
    "up": ("pcinfra.cli.up", "up", "Bring network, storage, bucket, image and associations to what pcinfra.yaml says."),
    "status": ("pcinfra.cli.status", "status", "Show what exists and whether it is healthy."),
    "env": ("pcinfra.cli.env", "env", "Print the variables of the running infrastructure, for a shell."),
    "cluster": ("pcinfra.cli.clusters", "cluster", "Create, change, look into and delete ParallelCluster clusters."),
    "submit": ("pcinfra.cli.submit", "submit", "Submit a job file to a cluster."),
    "render": (
        "pcinfra.cli.render",
        "render",
        "Print a job file as sbatch, TrainJob, PyTorchJob or kustomize.",
    ),
    "k8s": ("pcinfra.cli.k8s", "k8s", "Check, set up and migrate jobs on Kubernetes."),
    "recipe": ("pcinfra.cli.recipe", "recipe", "Jobs that are ready to run: list, show, run."),
    "jobs": ("pcinfra.cli.jobs", "jobs", "List the runs of all clusters: state, reason, GPU-hours, cost."),
    "logs": ("pcinfra.cli.logs", "logs", "Print or follow the log of a run."),
    "show": ("pcinfra.cli.show", "show", "Show all that is known of a run, attempt by attempt."),
    "report": ("pcinfra.cli.report", "report", "Tell where the time, the GPU-hours and the money of a run went."),
    "wait": ("pcinfra.cli.wait", "wait", "Wait for a run and exit with its exit code."),
    "shell": ("pcinfra.cli.shell", "shell", "Open a shell on a node of a run, in its container."),
    "cancel": ("pcinfra.cli.cancel", "cancel", "Cancel a run."),
    "requeue": ("pcinfra.cli.requeue", "requeue", "Let a run begin another attempt."),
    "rerun": ("pcinfra.cli.rerun", "rerun", "Submit what a run was submitted with as a new run."),
    "image": ("pcinfra.cli.image", "image", "Build the images that jobs run in, push and list them."),
    "data": ("pcinfra.cli.data", "data", "Bring files to S3 and Lustre and back."),
    "down": ("pcinfra.cli.down", "down", "Take everything away again, in the right order, and prove it."),
    "cost": ("pcinfra.cli.cost", "cost", "Show what the project costs per hour and per month."),
    "instances": ("pcinfra.cli.instances", "instances", "Show instance types and how their parts are joined."),
    "doctor": ("pcinfra.cli.doctor", "doctor", "Check this machine, the account, quotas and capacity."),
    "iam-policy": ("pcinfra.cli.iam_policy", "iam_policy", "Print the least-privilege policy that pcinfra needs."),
    "local": ("pcinfra.cli.local", "local", "The local cloud: start, stop, status, reset."),
    "schema": ("pcinfra.cli.schema", "schema", "Print the JSON Schema of pcinfra.yaml or of job files."),
    "completion": ("pcinfra.cli.completion", "completion", "Print the shell completion script."),
}

EPILOG = """\b
From nothing to a finished job on this machine, without an AWS account:
  pcinfra init --yes
  pcinfra --local up
  pcinfra --local cluster create train
  pcinfra --local submit examples/hello.yaml --follow
  pcinfra --local down --yes
Leave --local out and the same commands do it on AWS."""


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--local", is_flag=True, help="Use the local cloud of this machine; started on demand.")
@click.option("--project-file", "-f", metavar="FILE", default=None, help="Project file.  [default: pcinfra.yaml]")
@click.option("--profile", metavar="NAME", default="", help="Named profile of the AWS configuration.")
@click.option("--jobs", "-j", type=click.IntRange(1, 64), default=16, show_default=True, help="Calls at a time.")
@click.option("--debug", is_flag=True, help="On an error, print the traceback too.")
@click.version_option(__version__, message="pcinfra %(version)s")
@click.pass_context
def root(ctx: click.Context, /, **options: Any) -> None:
    """From an empty AWS account to a running multi-node GPU training job, and back to nothing."""
    vars(ctx.ensure_object(Session)).update(options)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    session = Session()
    streams.prepare()
    atexit.register(gc.freeze)  # else Python looks at the end for what it could free: a quarter of a short command
    try:
        status = root.main(arguments, prog_name="pcinfra", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except Exception as error:
        status = _told(error, session)
    except KeyboardInterrupt:
        status = _told(click.Abort(), session)
    _give_up_what_nobody_takes()
    sys.exit(status if isinstance(status, int) else 0)


def _told(error: Exception, session: Session) -> int:
    """Say what went wrong and return the exit status."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 2
    if isinstance(error, click.ClickException):
        click.echo(streams.readable(_usage(error)), err=True)
        return 2
    if isinstance(error, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    if isinstance(error, BrokenPipeError):
        return 1
    if session.debug:
        _print_traceback(error)
    head = "" if isinstance(error, Interrupted) else "error: "
    click.echo(head + streams.readable(_words(error, session)), err=True)
    return error.exit_code if isinstance(error, PcinfraError) else 1


def _give_up_what_nobody_takes() -> None:
    """Forget what is left for an output that is full or gone: at the end it would fail once more, as status 120."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "pcinfra"
    return f"error: {error.format_message()}\n  try: {path} --help"


def _words(error: Exception, session: Session) -> str:
    if isinstance(error, PcinfraError):
        lines = str(error).split("\n")
        return "\n".join(session.typed(line) if line.startswith("  try: ") else line for line in lines)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"a defect of pcinfra: {type(error).__name__}: {error}\n  try: the same command with --debug"


def _print_traceback(error: Exception) -> None:
    import traceback

    traceback.print_exception(error)


if __name__ == "__main__":
    main()
