"""Commands of pcinfra, run in this process against an account of the local cloud."""

from __future__ import annotations

from typing import Any

import click
from click.testing import CliRunner

from pcinfra.cli.session import Session
from tests.account import Account


def session(account: Account) -> Session:
    """Return the session of a user with this account and project."""
    made = Session(local=True)
    made.project, made.target = account.project, account.target
    return made


def run(command: click.Command, account: Account, *arguments: str, typed: str | None = None) -> tuple[Any, str]:
    """Run a command; return its exit status and what it wrote to standard output. What it raises is raised."""
    done = CliRunner().invoke(
        command, list(arguments), input=typed, obj=session(account), standalone_mode=False, catch_exceptions=True
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.return_value or 0, done.stdout
