"""``pcinfra iam-policy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

NAME = "pcinfra"


@click.command(name="iam-policy")
@click.option(
    "--for", "purposes", multiple=True, metavar="PURPOSE",
    help="up, cluster, jobs, data, down, doctor, cost or all; may be given again.  [default: all]",
)  # fmt: skip
@click.option("--account", metavar="ID", help="12 digits.  [default: that of your credentials, or any]")
@click.option(
    "--write", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write one file for each policy to DIR."
)
@options.pass_session
def iam_policy(session: Session, purposes: tuple[str, ...], account: str | None, folder: Path | None) -> None:
    """Print the least-privilege IAM policy that pcinfra itself needs for this project.

    It is derived from the API calls that pcinfra makes. What does not fit into one managed policy (6,144 characters)
    becomes several. To make clusters, pcluster's own policies come on top: docs/permissions.md.

    \b
    pcinfra iam-policy                          one JSON document for each policy, by name
    pcinfra iam-policy --for jobs               what somebody needs who only submits jobs
    pcinfra iam-policy --write policies
    aws iam create-policy --policy-name pcinfra-1 --policy-document file://policies/pcinfra-1.json
    """
    from pcinfra.iam_policy import chosen, names_of, policies

    wanted = _purposes(purposes)
    documents = policies(chosen(wanted), names_of(session.project, _account(session, account)))
    named = {NAME: documents[0]} if len(documents) == 1 else _numbered(documents)
    if folder is None:
        _print(named)
    else:
        _write(named, folder)


def _purposes(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the purposes meant.

    Raises:
        UsageError: one of them is none.
    """
    from pcinfra.errors import UsageError
    from pcinfra.iam_policy import PURPOSES

    for name in given:
        if name not in (*PURPOSES, "all"):
            hint = " or ".join(f"--for {purpose}" for purpose in (*PURPOSES, "all"))
            raise UsageError(f"no purpose {name!r}", where="--for", hint=hint)
    return PURPOSES if not given or "all" in given else given


def _account(session: Session, given: str | None) -> str:
    """Return the account that the ARNs name: the one given, that of the credentials, or any.

    Raises:
        UsageError: what was given is no account id.
    """
    import re

    from pcinfra.errors import CloudError, UsageError
    from pcinfra.iam_policy import ANY_ACCOUNT

    if given:
        if not re.fullmatch(r"[0-9]{12}", given):
            raise UsageError(f"{given!r} is no account id", where="--account", hint="--account 123456789012")
        return given
    try:
        return session.cloud.account
    except CloudError as error:
        click.echo(f"the ARNs name any account, because yours is not known: {error.why}\n  try: --account ID", err=True)
        return ANY_ACCOUNT


def _numbered(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{NAME}-{number}": document for number, document in enumerate(documents, 1)}


def _print(named: dict[str, dict[str, Any]]) -> None:
    from pcinfra.ui import print_json

    if len(named) == 1:
        print_json(next(iter(named.values())))
        return
    print_json(named)
    click.echo(f"{len(named)} policies, because IAM takes 6144 characters in one\n  try: --write DIR", err=True)


def _write(named: dict[str, dict[str, Any]], folder: Path) -> None:
    import json

    folder.mkdir(parents=True, exist_ok=True)
    for name, document in named.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        click.echo(f"aws iam create-policy --policy-name {name} --policy-document file://{file}")
