"""The policy against what is really called: the whole way on the local cloud, with every request counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import click
import pytest

from pcinfra import assets
from pcinfra.cli.main import root
from pcinfra.cli.session import Session
from pcinfra.iam_policy import FREE, STATEMENTS, Statement, chosen

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")
pytestmark = pytest.mark.slow

# What is typed for each purpose, in this order.
WAY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("doctor", ("doctor",)),
    ("up", ("plan",)),
    ("up", ("up",)),
    ("up", ("status",)),
    ("cluster", ("cluster", "create", "train")),
    ("cluster", ("cluster", "list")),
    ("cluster", ("cluster", "show", "train")),
    ("cluster", ("cluster", "logs", "train", "slurmctld")),
    ("jobs", ("submit", "{examples}/hello.yaml", "--follow")),
    ("jobs", ("jobs",)),
    ("down", ("down", "--yes")),
)

Calls = dict[str, set[str]]
Way = tuple[Calls, list[dict[str, Any]], dict[str, set[str]]]


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """The calls of each purpose; the tags of the nodes while they ran, and the managed policies of their roles."""
    calls: Calls = {}
    nodes: list[dict[str, Any]] = []
    held: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        run("init", "--yes")
        try:
            for purpose, arguments in WAY:
                session = run(*(word.format(examples=assets.folder("examples")) for word in arguments))
                calls.setdefault(purpose, set()).update(session.cloud.calls)
                if purpose == "jobs" and not nodes:
                    nodes += session.cloud.pages("ec2", "DescribeInstances", "Reservations")
                    held |= roles(session)
            yield calls, nodes, held
        finally:
            run("local", "reset", "--yes")


def roles(session: Session) -> dict[str, set[str]]:
    """Return the managed policies of every role that an instance can have."""
    found = {}
    for row in session.cloud.pages("iam", "ListRoles", "Roles", PathPrefix="/parallelcluster/"):
        if "ec2.amazonaws.com" in str(row["AssumeRolePolicyDocument"]):
            attached = session.cloud.call("iam", "ListAttachedRolePolicies", RoleName=row["RoleName"])
            found[row["RoleName"]] = {each["PolicyArn"] for each in attached["AttachedPolicies"]}
    return found


def run(*arguments: str) -> Session:
    """Run a command as ``main`` does, in this process, and return its session with the door that it used."""
    context = root.make_context("pcinfra", ["--local", *arguments])
    with context:
        with suppress(click.exceptions.Exit):  # doctor's, where this machine lacks something
            root.invoke(context)
        session = context.obj
        assert isinstance(session, Session)
        return session


PURPOSES = sorted({purpose for purpose, _ in WAY})


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_call_is_allowed(way: Way, purpose: str) -> None:
    calls, *_ = way
    allowed = {call for statement in chosen([purpose]) for grant in statement.grants for call in grant.calls}
    assert calls[purpose]
    assert calls[purpose] - allowed - set(FREE) == set(), "add the call to pcinfra/iam_policy"


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.sid)
def test_nothing_is_allowed_that_is_not_called(way: Way, statement: Statement) -> None:
    calls, *_ = way
    made = {call for purpose in statement.purposes for call in calls.get(purpose, ())}
    for grant in statement.grants:
        assert grant.why or made & set(grant.calls), f"{grant.action} is allowed, not called, and no reason is given"


def test_the_nodes_carry_the_tag_that_commands_are_allowed_by(way: Way) -> None:
    _, reservations, _ = way
    nodes = [node for reservation in reservations for node in reservation["Instances"]]
    assert nodes
    for node in nodes:
        assert {"Key": "pcinfra:project", "Value": "training"} in node["Tags"]


def test_every_node_has_the_projects_own_policy_and_none_of_awss_that_grants_more(way: Way) -> None:
    *_, held = way
    assert len(held) >= 2  # the head node's and the queue's
    (policies,) = {frozenset(each) for each in held.values()}
    (own,) = policies - {"arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy"}
    assert "policy/parallelcluster/pcinfra/us-east-1/parallelcluster-prerequisites/" in own
