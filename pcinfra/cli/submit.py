"""``pcinfra submit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.backends import is_backend
from pcinfra.cli.runs import cluster_option, follow_run, launcher_for, named
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.jobs.launcher import Launcher
    from pcinfra.jobs.manifest import Manifest
    from pcinfra.jobs.spec import JobSpec


@click.command()
@click.argument("file", metavar="JOB.yaml", type=click.Path(path_type=Path))
@click.option("--follow", "-F", is_flag=True, help="Stream its log, and exit with the job's exit code.")
@click.option("--dry-run", is_flag=True, help="Print the files that would be written; submit nothing.")
@cluster_option
@options.pass_session
@click.pass_context
def submit(
    ctx: click.Context, session: Session, /, file: Path, follow: bool, dry_run: bool, cluster: str | None
) -> None:
    """Submit a job file to a cluster, and print the run's id.

    \b
    pcinfra submit examples/hello.yaml --dry-run    what would be run
    pcinfra submit examples/hello.yaml --follow     its log; exits with the job's exit code
    pcinfra submit examples/pytorch-dist-job.yaml --on k8s:team-a
    """
    if is_backend(cluster):
        from pcinfra.cli.kubernetes import submit_to

        ctx.exit(submit_to(session, str(cluster), file, dry_run=dry_run, follow=follow))
    from pcinfra.jobs.load import load
    from pcinfra.jobs.manifest import new_run_id
    from pcinfra.jobs.slurm.render import render

    job = load(file, session.shell)
    spec = _with_image(session, job.spec)
    manifest = render(spec, new_run_id(job.spec.name), job.script, job.code)
    if dry_run:
        _print_files(manifest)
        return
    name = named(session, cluster)
    launcher = launcher_for(session, name)
    slurm_id = submitted(launcher, manifest)
    click.echo(f"submitted to {name} as job {slurm_id}", err=True)
    if follow:
        ctx.exit(follow_run(launcher, manifest.run))
    click.echo(manifest.run)
    click.echo(session.typed(f"  follow: pcinfra logs {manifest.run} --follow"), err=True)


def submitted(launcher: Launcher, manifest: Manifest) -> str:
    """Submit; an answer that was lost is asked for again, which never makes a second job."""
    from pcinfra.errors import Interrupted, Unreachable

    look = "pcinfra jobs   before you submit it again"
    try:
        try:
            return launcher.submit(manifest)
        except Unreachable:
            return launcher.submit(manifest)
    except Unreachable as error:
        raise Unreachable(f"{error.why}; it may have been submitted", where=manifest.run, hint=look) from error
    except KeyboardInterrupt:
        raise Interrupted("it may have been submitted all the same", where=manifest.run, hint=look) from None


def _with_image(session: Session, spec: JobSpec) -> JobSpec:
    """Return ``spec`` with the address of its image, where that is one of the project's."""
    from pcinfra.jobs.images import is_ours, resolved

    if not spec.image or spec.container == "off" or not is_ours(spec.image):
        return spec
    return spec.model_copy(update={"image": resolved(spec.image, session.project, session.cloud)})


def _print_files(manifest: Manifest) -> None:
    from pcinfra.jobs import code

    logs = f"{manifest.logs}/{manifest.run}" if manifest.logs else f"{manifest.run}/logs"
    click.echo(f"# run directory: {manifest.run}, logs: {logs}")
    for file in manifest.files:
        click.echo(f"\n# ---- {file.name} (mode {file.mode:04o}) ----")
        if file.name == "code.tar.gz":
            click.echo("\n".join(code.names(file.content)))
        else:
            click.echo(file.content.decode("utf-8", errors="replace"), nl=False)
