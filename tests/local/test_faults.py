"""Bad days, call by call: each request of `up` and `down` fails once, and it all ends well.

The requests are not listed anywhere: the proxy meets them, and lets each fail when it first sees it. Here a fixed
choice of faults; every request with every fault is in ``make soak`` (tests/soak.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from pcinfra.aws import Aws, Patience, Target
from pcinfra.doors import Doors
from pcinfra.errors import PlanFailed
from pcinfra.project import Project
from pcinfra.stages.associations import AssociationFacts
from tests.account import Account
from tests.conftest import new_project
from tests.faults import Choice, Fault, failing

FAULTS = tuple(Fault)
TRIES = Patience(attempts=4, connect=5, read=1.5)
ONCE = Patience(attempts=1, connect=5, read=1.5)
READS = ("Describe", "Get", "List", "GET", "HEAD")


@pytest.fixture(scope="module")
def quick_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A local cloud that is quick with its resources."""
    pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")
    from pcinfra.localcloud.process import LocalCloud

    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("PCINFRA_LOCAL_DELAY", "0.05")
        cloud = LocalCloud(Path(tmp_path_factory.mktemp("cloud")) / "local")
        endpoint = cloud.ensure()
    yield Target("us-east-1", endpoint=endpoint.url, credentials=endpoint.credentials, registry=False)
    cloud.stop()


def in_turn(first: int, changes_only: bool = False) -> Choice:
    """Return the choice that gives one request after the other the next kind of fault."""
    turns = count(first)

    def choose(key: str) -> Fault | None:
        if changes_only and key.partition(".")[2].startswith(READS):
            return None
        return FAULTS[next(turns) % len(FAULTS)]

    return choose


def through(url: str, target: Target, project: Project, patience: Patience) -> Account:
    """Return the account of ``project`` behind ``url``, whose calls are tried as ``patience`` says."""
    account = Account(replace(target, endpoint=url), project)
    account.cloud = Aws(account.target, patience)
    account.doors = Doors(account.cloud, account.doors.shell, account.target)
    return account


def runs_until_done(url: str, target: Target, project: Project, patience: Patience, command: str) -> int:
    """Run ``up`` or ``down`` again and again, as a user would; return how often it took."""
    for run in range(1, 60):
        try:
            getattr(through(url, target, project, patience), command)()
        except PlanFailed:
            continue
        return run
    raise AssertionError(f"{command} does not converge")


def assert_up_once(account: Account) -> None:
    """Everything is there, and nothing is there twice."""
    assert account.plan().actions == ()
    tagged = [{"Name": "tag:pcinfra:project", "Values": [account.project.project]}]
    assert len(account.call("ec2", "DescribeVpcs", Filters=tagged)["Vpcs"]) == 1
    mark = {"Key": "pcinfra:project", "Value": account.project.project}
    systems = [s for s in account.cloud.pages("fsx", "DescribeFileSystems", "FileSystems") if mark in s["Tags"]]
    assert sorted(system["FileSystemType"] for system in systems) == ["LUSTRE", "OPENZFS"]
    assert len(account.facts().of(AssociationFacts).found) == 4


@pytest.mark.slow
def test_a_run_outlives_one_failure_of_each_of_its_calls(quick_target: Target) -> None:
    project = new_project()
    with failing(quick_target.endpoint, in_turn(2)) as proxy:
        assert runs_until_done(proxy.url, quick_target, project, TRIES, "up") == 1
        assert len(proxy.hit) >= 30
        assert_up_once(Account(quick_target, project))
        before = len(proxy.hit)
        assert runs_until_done(proxy.url, quick_target, project, TRIES, "down") == 1
        assert len(proxy.hit) - before >= 25
    assert Account(quick_target, project).left() == []


@pytest.mark.slow
def test_a_run_that_failed_at_a_change_is_continued_by_the_next(quick_target: Target) -> None:
    project = new_project()
    with failing(quick_target.endpoint, in_turn(1, changes_only=True)) as proxy:
        assert runs_until_done(proxy.url, quick_target, project, ONCE, "up") > 3
        assert_up_once(Account(quick_target, project))
        assert runs_until_done(proxy.url, quick_target, project, ONCE, "down") > 3
        assert {fault for _, fault in proxy.hit} == set(FAULTS)
    assert Account(quick_target, project).left() == []


def test_backups_of_a_teardown_that_was_cut_short_go_with_the_next(quick_target: Target) -> None:
    account = Account(quick_target, new_project())
    account.up()
    broken = failing(quick_target.endpoint, lambda key: Fault.BROKEN if "DeleteBackup" in key else None)
    with broken as proxy, pytest.raises(PlanFailed, match="backups of"):
        through(proxy.url, quick_target, account.project, ONCE).down()
    assert [residue.what for residue in account.left()] == ["FSx backup"]
    plan = account.down()
    assert [action.loses for action in plan.actions] == ["1 backup(s) of /home"]
    assert account.left() == []
