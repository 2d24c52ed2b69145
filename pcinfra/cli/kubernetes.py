"""``pcinfra submit --on k8s``: the same command, with what is particular to Kubernetes."""

from __future__ import annotations

from pathlib import Path

import click

from pcinfra.cli.session import Session


def submit_to(session: Session, where: str, file: Path, *, dry_run: bool, follow: bool) -> int:
    """Submit ``file``, print the run's id, and return the exit code: the job's own when it is followed."""
    from pcinfra.cli.backends import prepared
    from pcinfra.cli.runs import follow_run
    from pcinfra.cli.submit import submitted
    from pcinfra.jobs.kubernetes.text import to_yaml

    launcher, run, rendered = prepared(session, where, file)
    for note in rendered.notes:
        click.echo(f"note: {note}", err=True)
    if dry_run:
        launcher.precheck(rendered.job)
        click.echo(to_yaml(rendered.objects), nl=False)
        return 0
    submitted(launcher, rendered.manifest(run))
    namespace = launcher.api.namespace
    click.echo(f"submitted to {launcher.api.where}, namespace {namespace}, as {rendered.job['kind']}", err=True)
    if follow:
        return follow_run(launcher, run)
    click.echo(run)
    there = where if where.count(":") == (2 if where.startswith("eks") else 1) else f"{where}:{namespace}"
    click.echo(session.typed(f"  follow: pcinfra logs {run} --on {there} --follow"), err=True)
    return 0
