"""``pcinfra cluster update``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, told
from pcinfra.cli.clusters.validate import checked
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.clusters.facts import ClusterFacts
    from pcinfra.clusters.update import Update
    from pcinfra.engine import Plan


@click.command()
@cluster_name
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option(
    "--running-jobs",
    type=click.Choice(["wait", "kill"]),
    default="wait",
    show_default=True,
    help="Where the compute fleet must stop: wait until the jobs on it have ended, or end them.",
)
@options.output
@options.yes
@options.pass_session
def update(session: Session, /, name: str, dry_run: bool, running_jobs: str, output: str, yes: bool) -> None:
    """Bring cluster NAME to what pcinfra.yaml says now.

    pcluster's own update policies decide what a change needs. Most are made while jobs run. Where the compute fleet
    must be stopped, this is done in order: no new job starts, the running ones end, the fleet stops, the change is
    made, the fleet starts, jobs start again. No job is ended without --running-jobs kill. Where login nodes must be
    stopped, they tell their users, go after their gracetime_period, and come back with the change.

    \b
    pcinfra cluster update train --dry-run
    pcinfra cluster update train
    pcinfra cluster update train --running-jobs kill --yes
    """
    from pcinfra.ui import print_json, print_plan

    config = checked(session, name).text
    facts = _standing(session, name, wait=not dry_run)
    asked = _asked(session, facts, config)
    plan = _plan(session, facts, config, asked, kill=running_jobs == "kill")
    if output == "json":
        print_json(_as_json(name, asked, plan))
    else:
        print_plan(plan)
    if dry_run or not plan.actions:
        return
    if asked.stops or asked.stops_logins:
        _refuse_what_validators_find(session, name, config)
    lost = "; ".join(action.loses for action in plan.losses)
    options.confirm(f"Update cluster {name}?" + (f" It ends {lost}." if lost else ""), yes)
    held = f"its queues are held and its compute fleet may be stopped: pcinfra cluster start {name}"
    with told(session, name, also=held if asked.stops else ""):
        session.run(plan)
    click.echo(f"cluster {name} is up to date", err=output == "json")


def _standing(session: Session, name: str, *, wait: bool) -> ClusterFacts:
    """Return the cluster after what is under way: what is left to do is known only then."""
    from pcinfra.cloudformation import Condition
    from pcinfra.clusters.lifecycle import waiting
    from pcinfra.engine import Plan

    facts = _facts(session, name)
    if not wait or facts.stack is None or facts.stack.condition is not Condition.BUSY:
        return facts
    click.echo(f"cluster {name} is {facts.stack.status}: waiting for that, to see what is left to do", err=True)
    with told(session, name):
        session.run(Plan((waiting(facts.stack),)))
    return _facts(session, name)


def _facts(session: Session, name: str) -> ClusterFacts:
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.update import check_updatable

    facts = find(session.cloud, name, with_config=True)
    check_updatable(facts, session.project.project)
    return facts


def _asked(session: Session, facts: ClusterFacts, config: str) -> Update:
    from pcinfra.clusters.facts import has_login_pools
    from pcinfra.clusters.fleet import fleet_of
    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.update import Update, strategy_of

    program = Pcluster(session.shell, session.target)
    # pcluster counts those that its load balancer still drains, after EC2 has let them go.
    login = has_login_pools(facts) and program.describe(facts.name).login_nodes > 0
    verdicts = program.verdicts(facts.name, facts.config, config, login=login)
    return Update(verdicts, fleet_of(session.cloud, facts.name), strategy_of(config))


def _refuse_what_validators_find(session: Session, name: str, config: str) -> None:
    """Before anything stops; where nothing must, the update itself runs them first.

    Raises:
        InputError: it carries all of them.
    """
    from pcinfra.clusters.findings import errors, refusal
    from pcinfra.clusters.pcluster import Pcluster

    findings = Pcluster(session.shell, session.target).dryrun(name, config, update=True)
    if errors(findings):
        raise refusal(name, findings)


def _plan(session: Session, facts: ClusterFacts, config: str, asked: Update, *, kill: bool) -> Plan:
    from pcinfra.cli.clusters.lookup import slurm_view
    from pcinfra.clusters.update import update_plan
    from pcinfra.jobs.slurm.pause import pausing, resuming

    running = slurm_view(session, facts.name).running if asked.stops else ()
    pause = pausing(facts.name, running, kill=kill)
    return update_plan(facts, config, asked, pause, resuming(facts.name, frozenset()))


def _as_json(name: str, asked: Update, plan: Plan) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "cluster": name,
        "changes": [{**asdict(verdict), "in_words": asked.in_words(verdict)} for verdict in asked.verdicts],
        "fleet": asked.fleet,
        "stops_fleet": asked.stops,
        "stops_login_nodes": asked.stops_logins,
        "actions": [{"id": a.id, "kind": a.kind, "what": a.what, "loses": a.loses} for a in plan.actions],
    }
