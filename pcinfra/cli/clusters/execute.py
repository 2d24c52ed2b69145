"""``pcinfra cluster exec``."""

from __future__ import annotations

import sys

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing, head_node
from pcinfra.cli.session import Session


@click.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--no-stdin", "-n", is_flag=True, help="Do not pass on standard input.")
@cluster_name
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@options.pass_session
@click.pass_context
def exec_(ctx: click.Context, session: Session, /, name: str, command: tuple[str, ...], no_stdin: bool) -> None:
    """Run one COMMAND on the head node of cluster NAME, as the cluster's user, in the home directory.

    Its words arrive as they are: no shell reads them. For a pipe or a variable, say so: bash -c '...'. Standard input
    is passed on unless it is a terminal; the exit status is the command's. It goes through Systems Manager: no open
    port, no key.

    \b
    pcinfra cluster exec train squeue
    pcinfra cluster exec train -- sinfo -N --format "%N %T"
    pcinfra cluster exec train -- bash -c 'du -sh ~ | tail -1'
    pcinfra cluster exec train -- tee notes.txt < notes.txt
    """
    from pcinfra.errors import Interrupted
    from pcinfra.jobs.execute import Execution

    existing(session, name)
    words = command[1:] if command[:1] == ("--",) else command
    head = head_node(session, name)
    head.runs = "/tmp"  # noqa: S108  (always there; what is kept in it is the user's alone)
    stdin = b"" if no_stdin or sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    execution = Execution(head, _out, _err)
    try:
        status = execution.run(words, stdin)
    except KeyboardInterrupt:
        execution.end()
        raise Interrupted("the command was ended", where=f"cluster {name}") from None
    ctx.exit(status)


def _out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _err(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.flush()
