"""``pcinfra cluster render`` and ``validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, rendered
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pcinfra.clusters.findings import Finding


@click.command()
@cluster_name
@options.pass_session
def render(session: Session, name: str) -> None:
    """Print the pcluster configuration of cluster NAME, with the reason of each derived value."""
    click.echo(rendered(session, name), nl=False)


@click.command()
@cluster_name
@click.option("--offline", is_flag=True, help="Only pcluster's schema; make no call at all.")
@options.output
@options.pass_session
def validate(session: Session, name: str, offline: bool, output: str) -> None:
    """Check the configuration of cluster NAME by pcluster's schema, then by its validators. Creates nothing."""
    from pcinfra.clusters.findings import errors, refusal

    findings = _findings(session, name, rendered(session, name, offline), offline)
    _print_findings(findings, output)
    if errors(findings):
        raise click.exceptions.Exit(refusal(name, findings).exit_code)


def _findings(session: Session, name: str, config: str, offline: bool) -> list[Finding]:
    """The schema first; the validators, which need a name that is free, only when they can get that far."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.findings import errors
    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.validate import validate as check

    findings = check(name, config, session.project.region)
    if offline or errors(findings):
        return findings
    free = name if find(session.cloud, name).stack is None else f"{name[:54]}-check"
    return findings + Pcluster(session.shell, session.target).dryrun(free, config)


def _print_findings(findings: Sequence[Finding], output: str) -> None:
    from dataclasses import asdict

    from pcinfra.ui import print_json, print_table

    if output == "json":
        print_json([asdict(finding) for finding in findings])
    elif findings:
        rows = [(f.level.value, f.where or f.check, f.what, f.hint) for f in findings]
        print_table(("LEVEL", "WHERE", "WHAT", "TRY"), rows)
    else:
        click.echo("valid: pcluster's schema and validators have nothing to say")
