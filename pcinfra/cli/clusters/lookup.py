"""What the commands about clusters share: the name, the cluster behind it, its configuration."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pcinfra.aws import Cloud
    from pcinfra.cli.session import Session
    from pcinfra.clusters.facts import ClusterFacts
    from pcinfra.errors import PcinfraError
    from pcinfra.jobs.headnode import SsmHeadNode
    from pcinfra.jobs.slurm.view import View


def _checked(_: click.Context, __: click.Parameter, name: str) -> str:
    """A name that no cluster can have is told here rather than by CloudFormation."""
    return options.cluster_name(name)


cluster_name = click.argument("name", callback=_checked)


def existing(session: Session, name: str) -> ClusterFacts:
    """Return what is known of a cluster of this project.

    Raises:
        NotFound: it does not exist, or is not this project's.
    """
    from pcinfra.clusters.facts import find
    from pcinfra.errors import NotFound

    facts = find(session.cloud, name)
    if not facts.belongs_to(session.project.project):
        raise NotFound("this project has no such cluster", where=f"cluster {name}", hint="pcinfra cluster list")
    return facts


def head_node(session: Session, name: str) -> SsmHeadNode:
    """Return the way to the head node of a cluster that runs.

    Raises:
        NotFound: it does not run.
    """
    from pcinfra.jobs.headnode import SsmHeadNode, head_node_id, login_user

    settings = session.project.clusters.get(name)
    user = login_user(settings.os) if settings else ""
    return SsmHeadNode(session.cloud, head_node_id(session.cloud, name), user)


def slurm_view(session: Session, name: str) -> View:
    """Return what Slurm says of a cluster that runs.

    Raises:
        NotFound: it does not run.
        Unreachable: its head node does not answer.
    """
    from pcinfra.jobs.slurm.view import view

    return view(head_node(session, name))


@contextmanager
def told(session: Session, name: str, *, also: str = "") -> Iterator[None]:
    """Where a Plan for cluster ``name`` fails because the cluster did, raise what failed there in its place.

    Args:
        also: what else to type after any failure on the way.
    """
    from pcinfra.errors import Interrupted, PlanFailed, ResourceFailed

    try:
        yield
    except PlanFailed as error:
        found = _failure(session, name) if isinstance(error.__cause__, ResourceFailed) else None
        _add(found or error, also)
        if found:
            raise found from error
        raise
    except Interrupted as error:
        _add(error, also)
        raise


def _failure(session: Session, name: str) -> PcinfraError | None:
    from pcinfra.clusters.failure import failure_of
    from pcinfra.errors import PcinfraError

    click.echo("looking for the cause in its events and logs", err=True)
    try:
        failure = failure_of(session.doors, name)
    except PcinfraError:
        return None
    return failure.error() if failure else None


def _add(error: PcinfraError, also: str) -> None:
    error.hint = "\n  try: ".join(filter(None, (error.hint, also)))


def zone_of(cloud: Cloud, config: str) -> str:
    """Return the zone of the first queue's subnet in a configuration (pcluster YAML); empty when EC2 does not know."""
    import yaml

    from pcinfra.errors import CloudError

    queues = ((yaml.safe_load(config) or {}).get("Scheduling") or {}).get("SlurmQueues") or [{}]
    subnets = (queues[0].get("Networking") or {}).get("SubnetIds") or []
    try:
        rows = cloud.call("ec2", "DescribeSubnets", SubnetIds=subnets[:1])["Subnets"] if subnets else []
    except CloudError:
        return ""
    return str(rows[0]["AvailabilityZone"]) if rows else ""
