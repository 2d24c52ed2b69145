"""``pcinfra cluster validate``: every check that can be made before anything is created, as one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name
from pcinfra.cli.clusters.render import rendered
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pcinfra.clusters.findings import Finding
    from pcinfra.clusters.render import Rendered
    from pcinfra.clusters.sources import Locator
    from pcinfra.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``where`` is ``FILE:LINE:COLUMN KEY``."""

    level: str
    where: str
    what: str
    hint: str
    check: str


@click.command()
@cluster_name
@click.option("--offline", is_flag=True, help="Only what needs no account; make no call at all.")
@options.output
@options.pass_session
def validate(session: Session, name: str, offline: bool, output: str) -> None:
    """Check the configuration of cluster NAME; create nothing.

    First pcluster's schema and the rules of AWS, ParallelCluster and Slurm, without a call; then what the account says
    of subnets, reservations, scripts and secrets; then pcluster's own validators. Ends with 2 when there is an ERROR.

    \b
    pcinfra cluster validate train --offline    before anything exists
    pcinfra cluster validate train -o json      for a pipeline
    """
    from pcinfra.errors import InputError

    try:
        rows = _rows(session, name, offline)
    except InputError as error:
        rows = [_from_problem(error, index) for index in range(len(error.problems))]
    _print(rows, output, offline=offline)
    if any(row.level == "ERROR" for row in rows):
        raise click.exceptions.Exit(InputError.exit_code)


def checked(session: Session, name: str) -> Rendered:
    """Return the configuration of cluster ``name`` that the schema and the rules have nothing against. Its validation
    makes no call.

    Raises:
        UsageError: the project file has no such cluster.
        InputError: what is wrong, each with its place in the project file.
    """
    from pcinfra.clusters.findings import refusal
    from pcinfra.clusters.validate import validate as check
    from pcinfra.clusters.validate import version_findings

    made = rendered(session, name)
    version = session.project.clusters[name].pcluster_version
    findings = [*check(name, made.text, session.project.region, version), *version_findings(version)]
    if _errors(findings):
        raise refusal(name, findings, locator(session, name, made))
    return made


def _from_problem(error: InputError, index: int) -> Row:
    problem = error.problems[index]
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    return Row("ERROR", f"{place} {problem.key}".strip(), problem.why, problem.hint, "project")


def _rows(session: Session, name: str, offline: bool) -> list[Row]:
    from pcinfra.clusters.validate import validate as check

    made = rendered(session, name, offline)
    version = session.project.clusters[name].pcluster_version
    findings = check(name, made.text, session.project.region, version)
    if not offline and not _errors(findings):
        findings += _account(session, name, made, version)
    where = locator(session, name, made)
    return [_row(finding, where) for finding in sorted(findings, key=lambda f: _ORDER.index(f.level.value))]


_ORDER = ("ERROR", "WARNING", "INFO")


def _account(session: Session, name: str, made: Rendered, version: str) -> list[Finding]:
    """Our rules that read the account; then, when nothing stands in the way, pcluster's, which need a free name."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.validate import against_account, version_findings

    findings = [*version_findings(version), *against_account(name, made.text, session.cloud, version)]
    if _errors(findings):
        return findings
    free = name if find(session.cloud, name).stack is None else f"{name[:54]}-check"
    return findings + Pcluster(session.shell, session.target).dryrun(free, made.text)


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    from pcinfra.clusters.findings import errors

    return errors(findings)


def locator(session: Session, name: str, made: Rendered) -> Locator:
    """Return what finds the places of cluster ``name`` in the project file."""
    from pcinfra.clusters.sources import Locator
    from pcinfra.project.document import parse, read_text
    from pcinfra.project.load import find, shown

    path = find(Path(session.project_file) if session.project_file else None)
    document = parse(read_text(path, shown(path)), shown(path))
    return Locator(document, name, made.origins, made.text)


def _row(finding: Finding, where: Locator) -> Row:
    place = where.of(finding.where, finding.what, finding.check)
    return Row(finding.level.value, str(place), finding.what, finding.hint, finding.check)


def _print(rows: Sequence[Row], output: str, *, offline: bool) -> None:
    from pcinfra.ui import print_json, print_table

    if output == "json":
        print_json([asdict(row) for row in rows])
        return
    if rows:
        table: list[tuple[Any, ...]] = [(row.level, row.where, row.what, row.hint) for row in rows]
        print_table(("LEVEL", "WHERE", "WHAT", "TRY"), table)
    if not any(row.level == "ERROR" for row in rows):
        checked = "schema and rules" if offline else "schema, rules, the account and pcluster's validators"
        click.echo(f"valid: {checked} have nothing against it", err=bool(rows))
