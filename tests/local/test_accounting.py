"""Slurm's accounting on a real slurmdbd: what it keeps, and what is told of runs that Slurm has forgotten."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pcinfra.jobs.launcher import Query, State
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.localcloud.slurm import accounting
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from tests.local.machine import DirectHeadNode, two_nodes
from tests.waiting import until, until_equal

pytestmark = [
    pytest.mark.skipif(bool(accounting.missing()), reason=accounting.why_not()),
    pytest.mark.skipif(os.geteuid() != 0, reason="users and paths are those of root's nodes"),
]

FORGETFUL = {"MinJobAge": "2"}  # the least that slurmctld takes
"""Seconds after which Slurm forgets a job that has ended."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    described = two_nodes(tmp_path_factory.mktemp("slurm") / "train", AccountingStorageEnforce="limits", **FORGETFUL)
    cluster = SlurmCluster.create(described.paths.top, replace(described.spec, database="train"))
    cluster.start()
    for words in ("account lab", "user ubuntu account=lab"):
        asked(cluster, "sacctmgr", "-i", "add", *words.split())
    yield cluster
    cluster.destroy()


@pytest.fixture
def launcher(cluster: SlurmCluster) -> SlurmLauncher:
    return SlurmLauncher(DirectHeadNode(cluster))


def asked(cluster: SlurmCluster, *argv: str, user: str = "") -> str:
    done = cluster.run(cluster.spec.head.name, argv, user=user, timeout=60)
    assert done.status == 0, done
    return done.stdout


def submitted(launcher: SlurmLauncher, text: str, **values: object) -> str:
    made = render(JobSpec.model_validate({"command": ("bash", "-c", text), "cpus": 1, **values}), new_run_id("test"))
    launcher.submit(made)
    return made.run


def kept(cluster: SlurmCluster, run: str) -> Path:
    """Return the file that says how Slurm ended a run, once somebody has asked."""
    return cluster.shared_path("/lustre") / "runs" / run / "slurm.end"


def forgotten(cluster: SlurmCluster, run: str) -> None:
    """Wait until Slurm itself has forgotten the job of a run."""
    argv = ("squeue", "-h", "-t", "all", "-n", f"pci-{run}", "-o", "%T")
    until_equal(lambda: asked(cluster, *argv), "")


def test_sacct_knows_what_slurm_has_forgotten_and_so_does_pcinfra(
    cluster: SlurmCluster, launcher: SlurmLauncher
) -> None:
    array = submitted(launcher, "exit $((PCINFRA_TASK == 1 ? 3 : 0))", array={"tasks": 3})
    dying = "kill -9 $(pgrep -f job0*$SLURM_JOB_ID/slurm_script); sleep 600"  # leaves no result
    dead = submitted(launcher, dying, nodes=2)
    done = submitted(launcher, "echo hello")
    cancelled = submitted(launcher, "echo begun; sleep 600")
    until(lambda: launcher.look(cancelled, {}).chunks)
    asked(cluster, "scancel", "-n", f"pci-{cancelled}", user="ubuntu")
    for run in (array, dead, done, cancelled):
        forgotten(cluster, run)
        assert not kept(cluster, run).exists(), "somebody looked before it was forgotten"
    for _ in range(2):  # the second time from what was kept of the first
        found = {each.run: each for each in launcher.runs(Query(limit=10))}
        states = [found[run].state for run in (array, dead, done, cancelled)]
        assert states == [State.FAILED, State.FAILED, State.DONE, State.CANCELLED], found[cancelled]
        assert found[cancelled].why == "by Slurm, or with scancel"
    assert re.fullmatch(r"FAILED\|\w*\|gpu-st-p5-\[1-2]\n", kept(cluster, dead).read_text())
    history = launcher.history(dead)
    assert history.status.state is State.FAILED
    (attempt,) = history.status.attempts
    start, end = asked(
        cluster, "env", "SLURM_TIME_FORMAT=%s", "sacct", "-XPn", "-j", history.status.job, "-o", "Start,End"
    ).split("|")
    assert attempt.ended == float(end)
    assert float(start) <= attempt.started <= float(end)


def test_a_limit_of_an_account_holds_and_is_told_in_words(cluster: SlurmCluster, launcher: SlurmLauncher) -> None:
    asked(cluster, "sacctmgr", "-i", "modify", "user", "ubuntu", "set", "MaxJobs=1")
    first = submitted(launcher, "sleep 600")
    until(lambda: launcher.look(first).status.state is State.RUNNING)
    second = submitted(launcher, "true")
    until(lambda: "limit" in launcher.look(second).status.why)
    asked(cluster, "sacctmgr", "-i", "modify", "user", "ubuntu", "set", "MaxJobs=-1")
    launcher.cancel(first)
    until(lambda: launcher.look(second).status.state is State.DONE)


def test_the_history_outlives_a_stop_and_the_death_of_the_head_node(cluster: SlurmCluster) -> None:
    asked(cluster, "srun", "-J", "kept", "-N2", "true", user="ubuntu")
    listed = ("sacct", "-XPn", "--name", "kept", "-o", "JobName,State,NodeList")
    until_equal(lambda: asked(cluster, *listed), "kept|COMPLETED|gpu-st-p5-[1-2]\n")
    cluster.stop()
    cluster.start()
    until_equal(lambda: asked(cluster, *listed), "kept|COMPLETED|gpu-st-p5-[1-2]\n")
    log = cluster.paths.node(cluster.spec.head.name, "log", "mariadbd.log").read_text()
    assert "Shutdown complete" in log, "the database was killed, not ended"
    cluster.crash(cluster.spec.head.name)
    cluster.start()
    until_equal(lambda: asked(cluster, *listed), "kept|COMPLETED|gpu-st-p5-[1-2]\n")


def test_no_password_is_anywhere_and_only_slurm_reads_the_configuration(cluster: SlurmCluster) -> None:
    conf = cluster.paths.configuration / "slurmdbd.conf"
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600
    assert "Pass" not in conf.read_text()
    data = cluster.paths.node(cluster.spec.head.name, "spool", "slurm.database", "data")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    line = asked(cluster, "pgrep", "-a", "mariadbd")
    assert "--skip-networking" in line
    refused = cluster.run(
        cluster.spec.head.name,
        ["sh", "-c", "test -w /run/slurm/mariadbd.socket && exec mariadb -S /run/slurm/mariadbd.socket -e 'select 1'"],
        user="ubuntu",
    )
    assert refused.status != 0
