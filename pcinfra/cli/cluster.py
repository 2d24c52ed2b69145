"""``pcinfra cluster``: render, validate, create, list, show, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.cluster_render import render, rendered
from pcinfra.cli.cluster_validate import locator, validate
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.clusters.facts import ClusterFacts
    from pcinfra.clusters.pcluster import Description


def _checked(_: click.Context, __: click.Parameter, name: str) -> str:
    """A name that no cluster can have is told here rather than by CloudFormation."""
    return options.cluster_name(name)


_name = click.argument("name", callback=_checked)


@click.group()
def cluster() -> None:
    """Create, show and delete ParallelCluster clusters."""


cluster.add_command(render)
cluster.add_command(validate)


@cluster.command(short_help="Create it and wait until it is ready.")
@_name
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options.pass_session
def create(session: Session, name: str, dry_run: bool) -> None:
    """Create cluster NAME of pcinfra.yaml and wait until its head node and static nodes are up."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.findings import errors, refusal
    from pcinfra.clusters.lifecycle import create_plan
    from pcinfra.clusters.validate import validate as check
    from pcinfra.ui import print_plan

    made = rendered(session, name)
    config = made.text
    findings = check(name, config, session.project.region, session.project.clusters[name].pcluster_version)
    if errors(findings):
        raise refusal(name, findings, locator(session, name, made))
    plan = create_plan(find(session.cloud, name, with_config=True), session.project.project, config)
    if dry_run or not plan.actions:
        print_plan(plan)
        return
    session.run(plan)
    click.echo(session.typed(f"cluster {name} is ready; a first job: pcinfra submit examples/hello.yaml --follow"))


@cluster.command(name="list", short_help="List this project's clusters.")
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


@cluster.command(short_help="Show its state, and why it failed if it did.")
@_name
@options.output
@options.pass_session
def show(session: Session, name: str, output: str) -> None:
    """Show the state of cluster NAME, its head node, and why it failed if it did."""
    from dataclasses import asdict

    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.probe import failure_cause
    from pcinfra.ui import print_json, print_table

    stack = _existing(session, name).stack
    assert stack
    description = Pcluster(session.shell, session.target).describe(name)
    cause = failure_cause(session.cloud, stack) if "COMPLETE" not in stack.status else ""
    if output == "json":
        print_json({**asdict(description), "cause": cause})
    else:
        print_table(("CLUSTER", name), _rows(description, cause))


@cluster.command(short_help="Delete it and wait until it is gone.")
@_name
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options.yes
@options.pass_session
def delete(session: Session, name: str, dry_run: bool, yes: bool) -> None:
    """Delete cluster NAME and wait until it is gone. /home and /lustre stay."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.lifecycle import delete_actions
    from pcinfra.engine import Plan
    from pcinfra.errors import Refused
    from pcinfra.ui import print_plan

    facts = find(session.cloud, name)
    if facts.stack is None:
        click.echo(f"cluster {name} does not exist: nothing to do")
        return
    if not facts.belongs_to(session.project.project):
        raise Refused("is not a cluster of this project", where=f"stack {name}", hint="pcinfra cluster list")
    plan = Plan(tuple(delete_actions([facts.stack])))
    print_plan(plan)
    if dry_run:
        return
    options.confirm(f"Delete cluster {name}?", yes)
    session.run(plan)


def _existing(session: Session, name: str) -> ClusterFacts:
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
