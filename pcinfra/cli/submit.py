"""``pcinfra submit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import backends, options
from pcinfra.cli.backends import is_backend
from pcinfra.cli.jobflags import JobCommand, said
from pcinfra.cli.runs import cluster_option, follow_run, launcher_for, named
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pcinfra.errors import PcinfraError
    from pcinfra.jobs.launcher import Launcher
    from pcinfra.jobs.load import Job
    from pcinfra.jobs.manifest import Manifest
    from pcinfra.jobs.slurm.render import End
    from pcinfra.jobs.spec import JobSpec
    from pcinfra.project.cluster_model import Queue


@click.command(cls=JobCommand)
@click.argument("files", metavar="[JOB.yaml]... [-- COMMAND...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--follow", "-F", is_flag=True, help="Stream its log, and exit with the job's exit code.")
@click.option("--dry-run", is_flag=True, help="Print the files that would be written; submit nothing.")
@cluster_option
@options.pass_session
@click.pass_context
def submit(
    ctx: click.Context,
    session: Session,
    /,
    files: tuple[Path, ...],
    follow: bool,
    dry_run: bool,
    cluster: str | None,
    **fields: Any,
) -> None:
    """Submit job files to a cluster, and print the runs' ids.

    Every field of a job file is a flag, too, and goes before what the files say. Without a file, the flags and a
    command line behind -- are the whole job.

    \b
    pcinfra submit examples/hello.yaml --dry-run          what would be run
    pcinfra submit examples/hello.yaml --follow           its log; exits with the job's exit code
    pcinfra submit train.yaml --nodes 4 -e EPOCHS=3       the file, with other values
    pcinfra submit --gpus 1 --cpus 8 -- python3 train.py  no file at all
    pcinfra submit sweep/*.yaml                           many in one round trip
    pcinfra submit train.yaml --on k8s:team-a             Kubernetes, as TrainJob or PyTorchJob
    """
    from pcinfra.errors import UsageError
    from pcinfra.jobs.load import load

    words = said(ctx, fields)
    if not files and not words:
        raise UsageError("names no job", where="submit", hint="pcinfra submit examples/hello.yaml")
    if follow and len(files) > 1:
        raise UsageError("follows one job at a time", where="--follow", hint="pcinfra logs RUN --follow")
    rules = backends.rules(session, cluster)
    manifests = [rendered(session, load(file, session.shell, rules, words), cluster) for file in files or (None,)]
    if dry_run:
        for manifest in manifests:
            backends.print_objects(manifest) if is_backend(cluster) else _print_files(manifest)
        return
    name = backends.home(session, str(cluster)) if is_backend(cluster) else named(session, cluster)
    launcher = launcher_for(session, name)
    answers = submitted(launcher, manifests)
    _tell(session, name, manifests, answers, follow)
    if follow:
        ctx.exit(follow_run(session, name, manifests[0].run))


def rendered(session: Session, job: Job, cluster: str | None) -> Manifest:
    """Return what is written for a new run of ``job``."""
    from pcinfra import catalog
    from pcinfra.jobs import granted
    from pcinfra.jobs.images import asks, is_ours, resolved

    if is_backend(cluster):
        return backends.rendered(session, str(cluster), job)
    from pcinfra.jobs.manifest import new_run_id
    from pcinfra.jobs.slurm.render import render

    spec = job.spec
    image = spec.image if spec.container != "off" else None
    if image and (is_ours(image) or session.has_project):
        if granted.in_ecr(image):
            granted.check_image(image, session.project, session.cloud)
        if asks(image, session.project.region):
            spec = spec.model_copy(update={"image": resolved(image, session.project, session.cloud)})
    queue = _queue(session, spec, cluster)
    by_efa = bool(queue and spec.nodes > 1 and catalog.find(queue.instance_type).efa_cards)
    spot = bool(queue and queue.capacity_type == "SPOT")
    wide = catalog.find(queue.instance_type).gigabits / 8 / 2 if queue else None
    return render(
        spec, new_run_id(spec.name), job.script, job.code, efa=by_efa, spot=spot, bandwidth=wide if by_efa else None,
        ends=_capacity_end(session, spec, queue.capacity_reservation) if queue else None,
    )  # fmt: skip


def _capacity_end(session: Session, spec: JobSpec, reservation: str | None) -> End | None:
    """Return when nodes in ``reservation`` begin to be terminated, and say so once."""
    from datetime import UTC, datetime

    from pcinfra.clusters import reservations
    from pcinfra.errors import PcinfraError
    from pcinfra.jobs.slurm.render import End

    if reservation is None:
        return None
    if reservation not in session.capacity:
        try:
            held = reservations.read(session.cloud, [reservation]).get(reservation)
        except PcinfraError as error:
            click.echo(f"note: nobody knows when {reservation} ends: {error.why}", err=True)
            held = None
        session.capacity[reservation] = held
        if said := reservations.ending(held, datetime.now(UTC)) if held else "":
            more = "" if spec.requeue else "; with requeue: 1 the job would go on in a later one"
            click.echo(f"note: {said}{more}", err=True)
    known = session.capacity[reservation]
    if known is None or known.end is None or known.usable_until is None:
        return None
    return End(known.usable_until.timestamp(), reservation, int((known.end - known.usable_until).total_seconds()))


def _queue(session: Session, spec: JobSpec, cluster: str | None) -> Queue | None:
    """Return the queue that the job goes to, as far as the project says which."""
    if not session.has_project:
        return None
    settings = session.project.clusters.get(cluster or next(iter(session.project.clusters), ""))
    queues = settings.queues if settings else ()
    return next((each for each in queues if spec.queue in (None, each.name)), None)


def submitted(launcher: Launcher, manifests: Sequence[Manifest]) -> list[str | PcinfraError]:
    """Submit; an answer that was lost is asked for again, which never makes a second job."""
    from pcinfra.errors import Interrupted, Unreachable
    from pcinfra.jobs.launcher import submit_all

    look = "pcinfra jobs   before you submit it again"
    where = manifests[0].run
    try:
        try:
            return submit_all(launcher, manifests)
        except Unreachable:
            return submit_all(launcher, manifests)
    except Unreachable as error:
        raise Unreachable(f"{error.why}; it may have been submitted", where=where, hint=look) from error
    except KeyboardInterrupt:
        raise Interrupted("it may have been submitted all the same", where=where, hint=look) from None


def _tell(
    session: Session, cluster: str, manifests: Sequence[Manifest], answers: Sequence[str | PcinfraError], follow: bool
) -> None:
    """Print the ids of the runs that were submitted; standard output belongs to the log where one is followed.

    Raises:
        PcinfraError: one was refused; the others run.
    """
    refused = [(m.run, answer) for m, answer in zip(manifests, answers, strict=True) if not isinstance(answer, str)]
    if len(manifests) == 1 and refused:
        raise refused[0][1]
    if len(manifests) == 1:
        click.echo(f"submitted to {cluster} as job {answers[0]}", err=True)
    if follow:
        return
    for manifest, answer in zip(manifests, answers, strict=True):
        if isinstance(answer, str):
            click.echo(manifest.run)
    if len(manifests) == 1:
        follows = f"pcinfra logs {manifests[0].run}{backends.there(cluster)} --follow"
        click.echo(session.typed(f"  follow: {follows}"), err=True)
        return
    click.echo(f"submitted {len(manifests) - len(refused)} of {len(manifests)} to {cluster}", err=True)
    for run, error in refused[:20]:
        click.echo(f"{run}: {error.why}", err=True)
    if refused:
        raise refused[0][1]


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
