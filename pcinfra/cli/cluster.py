"""``pcinfra cluster``: render, validate, create, list, show, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pcinfra.clusters.facts import ClusterFacts
    from pcinfra.clusters.findings import Finding
    from pcinfra.clusters.inputs import ClusterInputs
    from pcinfra.clusters.pcluster import Description


def _checked(_: click.Context, __: click.Parameter, name: str) -> str:
    """A name that no cluster can have is told here rather than by CloudFormation."""
    return options.cluster_name(name)


_name = click.argument("name", callback=_checked)


@click.group()
def cluster() -> None:
    """Create, show and delete ParallelCluster clusters."""


@cluster.command(short_help="Print its pcluster configuration.")
@_name
@options.pass_session
def render(session: Session, name: str) -> None:
    """Print the pcluster configuration of cluster NAME, with the reason of each derived value."""
    click.echo(_rendered(session, name), nl=False)


@cluster.command(short_help="Check its configuration; create nothing.")
@_name
@click.option("--offline", is_flag=True, help="Only pcluster's schema; make no call at all.")
@options.output
@options.pass_session
def validate(session: Session, name: str, offline: bool, output: str) -> None:
    """Check the configuration of cluster NAME by pcluster's schema, then by its validators. Creates nothing."""
    from pcinfra.clusters.findings import errors, refusal

    findings = _findings(session, name, _rendered(session, name, offline), offline)
    _print_findings(findings, output)
    if errors(findings):
        raise click.exceptions.Exit(refusal(name, findings).exit_code)


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

    config = _rendered(session, name)
    findings = check(name, config, session.project.region)
    if errors(findings):
        raise refusal(name, findings)
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


def _rendered(session: Session, name: str, offline: bool = False) -> str:
    from pcinfra.clusters.inputs import placeholder_inputs
    from pcinfra.clusters.render import render as render_text

    clusters = session.project.clusters
    if name not in clusters:
        raise _unknown(name, list(clusters))
    inputs = placeholder_inputs(session.project) if offline else _inputs(session)
    return render_text(name, clusters[name], inputs)


def _inputs(session: Session) -> ClusterInputs:
    from pcinfra import cloudformation
    from pcinfra.clusters.inputs import inputs_from_outputs

    stack = cloudformation.find(session.cloud, session.project.prerequisites.stack)
    return inputs_from_outputs(stack.outputs if stack else {}, session.project, session.cloud.account)


def _unknown(name: str, known: Sequence[str]) -> Exception:
    from difflib import get_close_matches

    from pcinfra.errors import UsageError

    near = get_close_matches(name, known, 1) or list(known)
    return UsageError(f"no cluster {name!r} in the project file", hint=" or ".join(near) or "add it under clusters:")


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


def _findings(session: Session, name: str, config: str, offline: bool) -> list[Finding]:
    """The schema first; the validators, which need a name that is free, only when they can get that far."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.findings import errors
    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.validate import validate as check

    findings = check(name, config, session.project.region)
    if offline or errors(findings):
        return findings
    free = name if find(session.cloud, name).stack is None else f"{name[:54]}-check"
    return findings + Pcluster(session.shell, session.target).dryrun(free, config)


def _print_findings(findings: Sequence[Finding], output: str) -> None:
    from dataclasses import asdict

    from pcinfra.ui import print_json, print_table

    if output == "json":
        print_json([asdict(finding) for finding in findings])
    elif findings:
        rows = [(f.level.value, f.where or f.check, f.what, f.hint) for f in findings]
        print_table(("LEVEL", "WHERE", "WHAT", "TRY"), rows)
    else:
        click.echo("valid: pcluster's schema and validators have nothing to say")


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
