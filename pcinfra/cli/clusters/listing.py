"""``pcinfra cluster list`` and ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.clusters.pcluster import Description


@click.command(name="list")
@options.output
@options.pass_session
def list_(session: Session, output: str) -> None:
    """List this project's clusters: those that exist and those of pcinfra.yaml that do not."""
    from pcinfra.clusters.facts import find_all
    from pcinfra.ui import print_json, print_table

    stacks = {stack.name: stack for stack in find_all(session.cloud, session.project.project)}
    names = [*session.project.clusters, *(name for name in stacks if name not in session.project.clusters)]
    rows = [(name, stacks[name].status if name in stacks else "not created", _fleet(session, name)) for name in names]
    if output == "json":
        print_json([{"name": name, "status": status, "queues": queues} for name, status, queues in rows])
    else:
        print_table(("CLUSTER", "STATUS", "QUEUES"), rows)


@click.command()
@cluster_name
@options.output
@options.pass_session
def show(session: Session, name: str, output: str) -> None:
    """Show the state of cluster NAME, its head node, and why it failed if it did."""
    from dataclasses import asdict

    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.probe import failure_cause
    from pcinfra.ui import print_json, print_table

    stack = existing(session, name).stack
    assert stack
    description = Pcluster(session.shell, session.target).describe(name)
    cause = failure_cause(session.cloud, stack) if "COMPLETE" not in stack.status else ""
    if output == "json":
        print_json({**asdict(description), "cause": cause})
    else:
        print_table(("CLUSTER", name), _rows(description, cause))


def _fleet(session: Session, name: str) -> str:
    found = session.project.clusters.get(name)
    if found is None:
        return "not in the project file"
    return ", ".join(f"{q.name}: {q.min_nodes}-{q.max_nodes} {q.instance_type}" for q in found.queues)


def _rows(description: Description, cause: str) -> list[tuple[str, Any]]:
    head = description.head_node
    rows: list[tuple[str, Any]] = [
        ("status", description.status),
        ("compute fleet", description.fleet_status),
        ("pcluster", description.version),
        ("created", description.created),
        ("head node", f"{head.instance_id} {head.instance_type} {head.state} {head.private_ip}" if head else "none"),
    ]
    rows += [("failure", f"{code}: {reason}") for code, reason in description.failures]
    return rows + ([("cause", cause)] if cause else [])
