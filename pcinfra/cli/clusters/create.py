"""``pcinfra cluster create``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import told
from pcinfra.cli.clusters.validate import checked, locator
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.clusters.render import Rendered
    from pcinfra.engine import Plan


@click.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--wait", is_flag=True, help="Wait until a capacity block or reservation of a queue has begun.")
@click.option("--rollback", is_flag=True, help="Remove what was made when it fails; its logs go with it.")
@options.pass_session
def create(session: Session, /, name: str, dry_run: bool, wait: bool, rollback: bool) -> None:
    """Create cluster NAME of pcinfra.yaml and wait until its head node and static nodes are up.

    When it fails, the cause is looked for and told. What was made is kept, so that it can be looked at, and is
    removed by the next create or by delete.

    \b
    pcinfra cluster create train --dry-run
    pcinfra cluster create train
    pcinfra cluster create train --wait     its capacity block begins tomorrow
    """
    from pcinfra.clusters import program

    if not (dry_run or wait):
        program.begin(session.shell)
    name = options.cluster_name(name)  # not while the command line is read: it imports much
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.lifecycle import create_plan
    from pcinfra.ui import print_plan

    made = checked(session, name)
    config = made.text
    facts = find(session.cloud, name, with_config=True)
    plan = create_plan(facts, session.project.project, config, rollback=rollback)
    if plan.actions:
        plan = _after_reservations(session, name, made, plan, wait=wait or dry_run)
    if dry_run or not plan.actions:
        print_plan(plan)
        return
    with told(session, name):
        session.run(plan)
    click.echo(session.typed(f"cluster {name} is ready; a first job: pcinfra submit examples/hello.yaml --follow"))


def _after_reservations(session: Session, name: str, made: Rendered, plan: Plan, *, wait: bool) -> Plan:
    """Check what the queues reserve; with ``wait``, put the wait for one that has not begun before everything.

    Raises:
        InputError: a reservation does not fit.
        Refused: one has not begun.
    """
    from dataclasses import replace
    from datetime import UTC, datetime

    from pcinfra.cli.clusters.lookup import zone_of
    from pcinfra.clusters import reservations
    from pcinfra.clusters.findings import errors, refusal
    from pcinfra.engine import Plan
    from pcinfra.errors import Refused
    from pcinfra.ui import duration

    wanted = reservations.wanted_by(made.text)
    if not wanted:
        return plan
    now = datetime.now(UTC)
    found = reservations.read(session.cloud, (each.id for each in wanted))
    zone = zone_of(session.cloud, made.text)
    system = session.project.clusters[name].os
    findings = reservations.check(wanted, found, zone=zone, system=system, now=now)
    if errors(findings):
        raise refusal(name, findings, locator(session, name, made))
    ends = tuple(filter(None, (reservations.ending(held, now) for held in found.values())))
    later = reservations.begins(found.values(), now)
    if later is None:
        return plan + Plan(notes=ends)
    if not wait:
        when = reservations.moment(later.begin)
        left = f", in {duration((later.begin - now).total_seconds())}" if later.begin else ""
        raise Refused(f"{later.id} begins {when}{left}; nodes cannot start before", where=f"cluster {name}",
                      hint=f"pcinfra cluster create {name} --wait")  # fmt: skip
    first = reservations.awaiting(name, later, now)
    rest = tuple(replace(action, after=action.after | {first.id}) for action in plan.actions)
    return Plan((first, *rest), (*plan.notes, *ends))
