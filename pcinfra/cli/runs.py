"""What the commands about runs share: the launcher of a cluster, and following."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pcinfra.cli.backends import is_backend
from pcinfra.cli.options import cluster_name
from pcinfra.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.jobs.follow import Follower
    from pcinfra.jobs.launcher import Launcher, Status


_WHERE = "Cluster; or Kubernetes: k8s[:NAMESPACE], eks:CLUSTER[:NAMESPACE].  [default: the project's only one]"
cluster_option = click.option("--cluster", "--on", "-c", "cluster", metavar="NAME", help=_WHERE)


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


def launcher_for(session: Session, cluster: str) -> Launcher:
    """Return the launcher of a cluster that runs.

    Raises:
        NotFound: it does not run.
    """
    if is_backend(cluster):
        from pcinfra.cli.backends import launcher

        return launcher(session, cluster)
    from pcinfra.jobs.headnode import SsmHeadNode, head_node_id, login_user
    from pcinfra.jobs.slurm.launcher import SlurmLauncher

    settings = session.project.clusters.get(cluster)
    user = login_user(settings.os) if settings else ""
    return SlurmLauncher(SsmHeadNode(session.cloud, head_node_id(session.cloud, cluster), user))


def follow_run(launcher: Launcher, run: str, *, logs: bool = True) -> int:
    """Follow ``run`` to its end, say how it ended, and return its exit code.

    Raises:
        Interrupted: Ctrl-C. The job goes on.
    """
    try:
        status = follower(launcher, logs=logs).follow(run)
    except KeyboardInterrupt:
        hint = f"pcinfra logs {run} --follow   or, to end it: pcinfra cancel {run}"
        raise Interrupted("the job goes on without you", where=run, hint=hint) from None
    say(status)
    return status.exit_code or 0


def follower(launcher: Launcher, *, logs: bool = True) -> Follower:
    """Return a Follower that shows on standard output and notes on standard error."""
    from pcinfra.jobs.follow import Follower

    return Follower(launcher, show, lambda text: click.echo(text, err=True), logs=logs)


def show(text: bytes) -> None:
    """Write a piece of a log as it is; bytes that are no UTF-8 are left to the terminal."""
    sys.stdout.buffer.write(text)
    sys.stdout.flush()


def say(status: Status) -> None:
    """Say on standard error where a run stands."""
    from pcinfra.jobs.follow import in_words

    click.echo(f"{status.run}: {in_words(status)}", err=True)
