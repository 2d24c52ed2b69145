"""``pcinfra env``."""

from __future__ import annotations

import json
import shlex
import sys

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["shell", "json", "dotenv"]), default="shell", show_default=True,
    help="shell: export lines to eval. dotenv: NAME=value lines.",
)  # fmt: skip
@options.pass_session
def env(session: Session, form: str) -> None:
    """Print the variables of the running infrastructure.

    \b
    eval "$(pcinfra env)"
    pcinfra env --format dotenv > .env
    pcinfra env --format json | jq -r .FSX_LUSTRE_ID
    """
    variables = session.variables()
    missing = [name for name, value in variables.items() if not value]
    sys.stdout.write(FORMS[form](variables))
    if missing:
        click.echo(session.typed(f"not known yet: {', '.join(missing)}\n  try: pcinfra up"), err=True)


def _shell(variables: dict[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _json(variables: dict[str, str]) -> str:
    return json.dumps(variables, indent=2) + "\n"


def _dotenv(variables: dict[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


FORMS = {"shell": _shell, "json": _json, "dotenv": _dotenv}
