"""``pcinfra cluster diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pcinfra.cli.clusters.showing import Shown
    from pcinfra.cloudformation import Stack
    from pcinfra.clusters.findings import Finding


@click.command()
@cluster_name
@click.option("--file", "-f", type=click.Path(path_type=Path), help="Where it goes.  [default: NAME-diagnosis.tar.gz]")
@options.output
@options.pass_session
def diagnose(session: Session, /, name: str, file: Path | None, output: str) -> None:
    """Gather everything about cluster NAME, find causes that are known, and write one file for a ticket.

    In it are the stack's events, the logs of every node, what Slurm and the head node say, the configuration, and what
    pcluster says. Secrets are removed. Nothing is changed. It works while a cluster runs, and after a creation failed.

    \b
    pcinfra cluster diagnose train
    tar -tzf train-diagnosis.tar.gz
    """
    from dataclasses import asdict

    from pcinfra.clusters import diagnose as gathering
    from pcinfra.ui import print_json

    stack = existing(session, name).stack
    assert stack
    click.echo(f"asking the stack, the logs and the head node of {name}", err=True)
    files, shown = _gathered(session, stack)
    down = gathering.down_nodes(shown.asked.view.nodes) if shown.asked else []
    findings = [*down, *gathering.findings_in(files, name)]
    path = file or Path(f"{name}-diagnosis.tar.gz")
    path.write_bytes(gathering.archive(name, files, _summary(name, stack.status, findings)))
    if output == "json":
        print_json({"file": str(path), "findings": [asdict(finding) for finding in findings]})
        return
    click.echo(session.typed("\n".join(_summary(name, stack.status, findings))))
    click.echo(f"\n{path}: {len(files)} files; secrets are removed, but look before you send it")


def _gathered(session: Session, stack: Stack) -> tuple[dict[str, str], Shown]:
    """Ask for everything at once."""
    from pcinfra.cli.clusters.showing import as_json, read_shown
    from pcinfra.clusters import diagnose as gathering
    from pcinfra.clusters import overview
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm import report, view

    reads = [*gathering.reading(stack), report.reading(stack.name), view.reading(stack.name), overview.reading(stack)]
    found = session.read(Plan(tuple(reads)))
    files: dict[str, str] = {}
    for key in ("events", "instances", "logs"):
        files |= found[f"read/{key}"]
    files |= {f"head/{path}": text for path, text in found[f"read/report/{stack.name}"].items()}
    shown = read_shown(session, stack, found)
    files["cluster.json"] = _json(as_json(shown))
    files["config.yaml"] = shown.overview.config
    files["about.txt"] = _about(session)
    return files, shown


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=1, default=str) + "\n"


def _about(session: Session) -> str:
    import platform

    from pcinfra import __version__

    node = session.shell.run(["node", "--version"]).stdout.strip() if session.shell.which("node") else "not installed"
    rows = {
        "pcinfra": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "node": node,
        "region": session.target.region,
        "account": session.cloud.account,
        "project": session.project.project,
    }
    return "".join(f"{key}: {value}\n" for key, value in rows.items())


def _summary(name: str, status: str, findings: Sequence[Finding]) -> list[str]:
    lines = [f"cluster {name}: {status}", ""]
    for finding in findings:
        lines += [f"* {finding.where}: {finding.what}", *([f"  try: {finding.hint}"] if finding.hint else [])]
    return lines if findings else [*lines, "no cause that is known was found"]
