"""What the commands about runs share: the launcher of a cluster, and following."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from pcinfra.cli.backends import WHERE, is_backend, there
from pcinfra.cli.options import cluster_name
from pcinfra.errors import Interrupted, NotFound, PcinfraError, UsageError

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.jobs.follow import Follower
    from pcinfra.jobs.headnode import SsmHeadNode
    from pcinfra.jobs.launcher import Launcher, Status, Wanted

T = TypeVar("T")

OTHERS = f"or Kubernetes: {WHERE}"
cluster_option = click.option(
    "--cluster", "--on", "-c", "cluster", metavar="NAME", help=f"Cluster, {OTHERS}.  [default: the project's only one]"
)
any_cluster_option = click.option(
    "--cluster", "--on", "-c", "cluster", metavar="NAME", help=f"Cluster, {OTHERS}.  [default: the one that has it]"
)


def named(session: Session, cluster: str | None) -> str:
    """Return ``cluster``, or the project's only one.

    Raises:
        UsageError: no cluster can be called so; or it is not said and there is none or more than one.
    """
    if cluster is not None:
        return cluster if is_backend(cluster) else cluster_name(cluster)
    known = list(session.project.clusters)
    if len(known) != 1:
        why = "the project has several clusters" if known else "the project has no cluster"
        raise UsageError(why, where="--cluster", hint=" or ".join(f"--cluster {name}" for name in known))
    return known[0]


def meant(session: Session, cluster: str | None) -> list[str]:
    """Return ``cluster`` alone, or every cluster of the project."""
    if cluster is not None:
        return [named(session, cluster)]
    known = list(session.project.clusters)
    return known or [named(session, None)]


def launcher_for(session: Session, cluster: str, *, hasty: bool = False) -> Launcher:
    """Return the launcher of a cluster that runs.

    Args:
        hasty: whoever uses it tries again by itself, and wants to know soon that nobody answers.

    Raises:
        NotFound: it does not run.
    """
    if is_backend(cluster):
        from pcinfra.cli.backends import launcher

        return launcher(session, cluster)
    from pcinfra.jobs.slurm.launcher import SlurmLauncher

    return SlurmLauncher(head_of(session, cluster, hasty=hasty))


def head_of(session: Session, cluster: str, *, hasty: bool = False) -> SsmHeadNode:
    """Return the head node of a cluster that runs; see :func:`launcher_for`.

    Raises:
        NotFound: it does not run.
        UsageError: it is no Slurm cluster.
    """
    if is_backend(cluster):
        raise UsageError("is no Slurm cluster", where=cluster, hint="--cluster NAME")
    from pcinfra.aws import Patience
    from pcinfra.jobs.headnode import SsmHeadNode, head_node_id, login_user
    from pcinfra.jobs.payloads import S3Payloads

    settings = session.project.clusters.get(cluster)
    user = login_user(settings.os) if settings else ""
    cloud = session.cloud.hurried(Patience(attempts=3, connect=5, read=30)) if hasty else session.cloud
    payloads = S3Payloads(cloud, lambda: session.project.bucket_name(cloud.account))
    if not (hasty and cluster in session.head_nodes):
        session.head_nodes[cluster] = head_node_id(cloud, cluster)
    return SsmHeadNode(cloud, session.head_nodes[cluster], user, payloads=payloads)


def ask_each(
    session: Session, clusters: list[str], ask: Callable[[Launcher], T]
) -> tuple[dict[str, T], dict[str, PcinfraError]]:
    """Ask the launchers of some clusters at the same time; return the answers, and what the others failed with."""
    from concurrent.futures import ThreadPoolExecutor

    if not all(map(is_backend, clusters)):
        session.cloud  # noqa: B018 - made once, before the threads
    with ThreadPoolExecutor(max_workers=len(clusters)) as pool:
        futures = {name: pool.submit(_asked, session, name, ask) for name in clusters}
    errors = {name: error for name, future in futures.items() if (error := future.exception())}
    for error in errors.values():
        if not isinstance(error, PcinfraError):
            raise error
    found = {name: future.result() for name, future in futures.items() if name not in errors}
    return found, {name: error for name, error in errors.items() if isinstance(error, PcinfraError)}


def _asked(session: Session, cluster: str, ask: Callable[[Launcher], T]) -> T:
    return ask(launcher_for(session, cluster))


def home_of(session: Session, cluster: str | None, run: str) -> str:
    """Return the cluster that has ``run``: the one that is said, the project's only one, or the one that knows it.

    Raises:
        NotFound: none has it.
        UsageError: several have it.
    """
    clusters = meant(session, cluster)
    if len(clusters) == 1:
        return clusters[0]
    found, errors = ask_each(session, clusters, lambda launcher: launcher.look(run))
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise UsageError("several clusters have it", where=run, hint=" or ".join(f"--cluster {c}" for c in found))
    worst = next((error for error in errors.values() if not isinstance(error, NotFound)), None)
    raise worst or NotFound("no cluster has such a run", where=run, hint="pcinfra jobs")


def follow_run(session: Session, cluster: str, run: str, *, logs: bool = True, wanted: Wanted | None = None) -> int:
    """Follow ``run`` to its end, say how it ended, and return its exit code.

    Raises:
        Interrupted: Ctrl-C. The job goes on.
    """
    try:
        status = follower(session, cluster, logs=logs, wanted=wanted).follow(run)
    except KeyboardInterrupt:
        where = there(cluster)
        hint = f"pcinfra logs {run}{where} --follow   or, to end it: pcinfra cancel {run}{where}"
        raise Interrupted("the job goes on without you", where=run, hint=hint) from None
    say(status)
    return status.exit_code or 0


def follower(session: Session, cluster: str, *, logs: bool = True, wanted: Wanted | None = None) -> Follower:
    """Return a Follower that shows on standard output and notes on standard error."""
    from pcinfra.jobs.follow import Follower
    from pcinfra.jobs.launcher import EVERYTHING

    def again() -> Launcher:
        session.forget()
        return launcher_for(session, cluster, hasty=True)

    launcher = launcher_for(session, cluster, hasty=True)
    return Follower(launcher, show, note, logs=logs, wanted=wanted or EVERYTHING, renew=again)


def note(text: str) -> None:
    click.echo(text, err=True)


def show(text: bytes) -> None:
    """Write a piece of a log as it is; bytes that are no UTF-8 are left to the terminal."""
    sys.stdout.buffer.write(text)
    sys.stdout.flush()


def say(status: Status) -> None:
    """Say on standard error where a run stands."""
    from pcinfra.jobs.follow import in_words

    click.echo(f"{status.run}: {in_words(status)}", err=True)
