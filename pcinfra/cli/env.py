"""``pcinfra env``."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.project import Project
    from pcinfra.stages import Facts

_LISTED = ("prerequisites", "scripts", "bucket", "image", "associations")
"""The stages as the guide's final listing has their variables."""


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
    found = variables(session.project, session.facts())
    missing = [name for name, value in found.items() if not value]
    sys.stdout.write(FORMS[form](found))
    if missing:
        click.echo(session.typed(f"not known yet: {', '.join(missing)}\n  try: pcinfra up"), err=True)


def variables(project: Project, facts: Facts) -> dict[str, str]:
    """Return the variables of every stage, in the order of the guide's final listing."""
    from pcinfra.stages import REGISTRY

    later = len(_LISTED)
    ordered = sorted(REGISTRY, key=lambda each: _LISTED.index(each.name) if each.name in _LISTED else later)
    return {name: value for stage in ordered for name, value in stage.env(project, facts).items()}


def _shell(variables: dict[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _json(variables: dict[str, str]) -> str:
    return json.dumps(variables, indent=2) + "\n"


def _dotenv(variables: dict[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


FORMS = {"shell": _shell, "json": _json, "dotenv": _dotenv}
