"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from pcinfra.cli.session import Session

pass_session = click.make_pass_decorator(Session)

Command = Callable[..., Any]


def output(command: Command) -> Command:
    """Add ``--output table|json``."""
    option = click.option(
        "--output",
        "-o",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Form of the answer.",
    )
    return option(command)


def yes(command: Command) -> Command:
    """Add ``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(command)


def jobs(command: Command) -> Command:
    """Add ``--jobs``, the global option of this name, where one looks for it too."""

    def keep(ctx: click.Context, _: click.Parameter, value: int | None) -> None:
        session = ctx.find_object(Session)
        if value is not None and session is not None:
            session.jobs = value

    option = click.option(
        "--jobs",
        "-j",
        type=click.IntRange(1, 64),
        callback=keep,
        expose_value=False,
        help="Calls at a time, 16 if not said.",
    )
    return option(command)


def confirm(question: str, sure: bool) -> None:
    """Ask for a yes unless ``sure``.

    Raises:
        Refused: there is no terminal to ask at, or the answer is no.
    """
    from pcinfra.errors import Refused

    if sure:
        return
    if not sys.stdin.isatty():
        raise Refused("needs a yes, and there is no terminal to ask at", hint="the same command with --yes")
    if not click.confirm(question, err=True):
        raise Refused("not done")


def cluster_name(name: str) -> str:
    """Return ``name`` if a cluster can be called so.

    Raises:
        UsageError: it cannot.
    """
    import re

    from pcinfra.errors import UsageError
    from pcinfra.project.fields import CLUSTER

    if re.fullmatch(CLUSTER.regex, name):
        return name
    raise UsageError(f"the name of a cluster {CLUSTER.why}", where=repr(name), hint="pcinfra cluster list")
