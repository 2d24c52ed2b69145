"""The scripts of the head node on many runs, with a stand-in for Slurm's programs alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pcinfra.errors import CommandFailed, NotFound, UsageError
from pcinfra.jobs.follow import in_words
from pcinfra.jobs.headnode import MAX_COMMAND, MAX_OUTPUT, wrapped
from pcinfra.jobs.launcher import Query, State
from pcinfra.jobs.manifest import _base32
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.shell import Completed

SQUEUE = """#!/bin/sh
cd "$(dirname "$0")/.." && echo "$*" >>asked
cat squeue.out
exit $(cat squeue.rc)
"""
T = 1_800_000_000


class BashHeadNode:
    """Scripts run by bash in a directory of runs, within SSM's limits; squeue answers what it is told to."""

    def __init__(self, top: Path) -> None:
        self.top, self.runs, self.commands = top, top / "runs", 0
        for folder in (self.runs, top / "bin"):
            folder.mkdir()
        (top / "bin" / "squeue").write_text(SQUEUE)
        (top / "bin" / "squeue").chmod(0o755)
        self.slurm()

    def slurm(self, *lines: str, status: int = 0) -> None:
        (self.top / "squeue.out").write_text("".join(f"{line}\n" for line in lines))
        (self.top / "squeue.rc").write_text(str(status))

    def asked(self) -> int:
        file = self.top / "asked"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        assert len(wrapped(script, "ubuntu")) < MAX_COMMAND
        self.commands += 1
        environment = {"PATH": f"{self.top}/bin:{os.environ['PATH']}", "USER": "me", "LANG": "C.UTF-8"}
        done = subprocess.run(
            ["bash", "-s"], input=script, cwd=self.runs, env=environment, capture_output=True, text=True, check=False
        )
        return Completed(("script",), done.returncode, done.stdout[:MAX_OUTPUT], done.stderr)

    def put(self, files: Mapping[str, bytes]) -> None:
        raise NotImplementedError

    def read(self, path: str, offset: int) -> tuple[bytes, int]:
        data = (self.runs / path).read_bytes()[offset : offset + 10_000]
        return data, offset + len(data)

    def interactive(self, script: str) -> Sequence[str]:
        raise NotImplementedError

    def made(self, number: int, name: str = "job", result: bool = True, nodes: int = 1) -> str:
        """Make the directory of a run; the greater the number, the younger it is."""
        run = f"{name}-{_base32(number, 9)}{_base32(0, 7)}"
        folder = self.runs / run
        (folder / "logs").mkdir(parents=True)
        (folder / "job.sbatch").write_text(
            f"#!/bin/bash\n#SBATCH --job-name=pci-{run}\n#SBATCH --nodes={nodes}\ntrue\n"
        )
        (folder / "job.id").write_text(f"{number}\n")
        (folder / "spec.json").write_text(json.dumps({"name": name, "command": ["x" * number]}))
        begun = {"job": str(number), "attempt": 0, "nodes": "n1", "count": nodes, "gpus": 8, "started": T}
        (folder / "attempts.jsonl").write_text(json.dumps(begun) + "\n")
        if result:
            end = {"attempt": 0, "exit_code": number % 2, "verdict": "failed" if number % 2 else "done"}
            (folder / "result.jsonl").write_text(json.dumps({**end, "ended": "2027-01-15T09:00:00Z"}) + "\n")
        return run


@pytest.fixture
def head(tmp_path: Path) -> BashHeadNode:
    return BashHeadNode(tmp_path)


def names(launcher: SlurmLauncher, **query: object) -> list[str]:
    return [status.run for status in launcher.runs(Query(**query))]  # type: ignore[arg-type]


def test_many_runs_come_newest_first_over_as_many_answers_as_it_takes(head: BashHeadNode) -> None:
    runs = [head.made(number, f"name{number % 3}") for number in range(1200)]
    launcher = SlurmLauncher(head)
    assert names(launcher) == runs[:-51:-1]
    assert (head.commands, head.asked()) == (1, 1)
    assert names(launcher, limit=2000) == runs[::-1]
    assert head.commands > 2
    assert names(launcher, name="name2", limit=3) == [runs[1199], runs[1196], runs[1193]]
    failed = launcher.runs(Query(limit=2, states=frozenset({State.FAILED})))
    assert [(status.run, status.exit_code) for status in failed] == [(runs[1199], 1), (runs[1197], 1)]
    assert failed[0].attempts[0].seconds(0) == 3600


def test_what_is_active_is_found_however_old_it_is(head: BashHeadNode) -> None:
    old = head.made(1, result=False)
    for number in range(2, 80):
        head.made(number)
    ended = head.made(80)
    head.slurm(f"pci-{old}|RUNNING|None|n1", f"pci-{ended}|COMPLETED|None|n1", "other|RUNNING|None|n2")
    launcher = SlurmLauncher(head)
    active = frozenset({State.RUNNING, State.WAITING})
    assert names(launcher, states=active) == [old]
    assert names(launcher, states=active, name="nothing") == []
    assert head.commands == 2


def test_what_is_no_run_is_passed_over(head: BashHeadNode) -> None:
    run = head.made(1)
    for folder in ("sqsh", "a-directory-that-is-no-run", f"copy-{'0' * 16}", "x-" + "Z" * 16):
        (head.runs / folder).mkdir()
    (head.runs / f".{run}.tar").touch()
    assert names(SlurmLauncher(head)) == [run]
    assert names(SlurmLauncher(BashHeadNode(head.runs / "sqsh"))) == []


def test_a_list_without_slurmctld_says_so(head: BashHeadNode) -> None:
    head.made(1)
    head.made(2, result=False)
    head.slurm(status=1)
    assert [each.state for each in SlurmLauncher(head).runs(Query())] == [State.UNKNOWN, State.FAILED]


# What squeue -h -o '%j|%T|%r|%N' prints: states and reasons by version. 22.05 was asked; the others' words are those of
# their sources (job_state_string_complete, job_reason_string), where the form of -o has not changed.
VERSIONS = {
    "22.05": [("CONFIGURING", "None", "q-dy-p5-[1-2]", "starting on q-dy-p5-[1-2]"),
              ("PENDING", "(Resources)", "", "waiting: no free nodes for it yet"),
              ("PENDING", "BeginTime", "", "waiting: Slurm lets a requeued job wait for up to two minutes"),
              ("COMPLETING", "NodeDown", "n1", "ending: a node that it needs is down")],
    "23.02": [("PENDING", "QOSJobLimit", "", "waiting: a limit of the account is reached (QOSJobLimit)"),
              ("REQUEUED", "None", "", "waiting"),
              ("SPECIAL_EXIT", "job requeued in held state", "",
               "waiting: held after it was requeued: scontrol release")],
    "23.11": [("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", "",
               "waiting: nodes that it needs are down or reserved"),
              ("RESIZING", "None", "n1", "running on n1"), ("STOPPED", "None", "n1", "running on n1")],
    "24.05": [("REQUEUE_HOLD", "JobHeldUser", "", "waiting: held by its user"),
              ("SIGNALING", "None", "n1", "running on n1")],
    "24.11": [("STAGE_OUT", "None", "n1", "ending"), ("SUSPENDED", "None", "n1", "running on n1: suspended")],
    "25.05": [("PENDING", "(Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
               "partitions)", "", "waiting: nodes that it needs are down, drained or taken by jobs that come first"),
              ("CONFIGURING", "Prolog", "q-dy-p5-[1,3]", "starting on q-dy-p5-[1,3]: its nodes are being prepared")],
    "25.11": [("PENDING", "Constraints", "", "waiting: no node can ever have what it asks for"),
              ("PENDING", "ReservationInvalid", "", "waiting: there is no such reservation"),
              ("EXPEDITING", "None", "n1", "ending")],
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_every_slurm_is_understood(version: str, head: BashHeadNode) -> None:
    run = head.made(1, result=False)
    for state, reason, nodes, words in VERSIONS[version]:
        head.slurm(f"pci-{run}|{state}|{reason}|{nodes}")
        assert in_words(SlurmLauncher(head).look(run).status) == words
        assert in_words(SlurmLauncher(head).runs(Query())[0]) == words


def test_a_hundred_logs_come_whole_and_each_gets_its_share(head: BashHeadNode) -> None:
    run = head.made(1, nodes=100)
    texts = {n: b"".join(b"line %d of %d \xf0\x9f\x99\x82\n" % (i, n) for i in range(30)) for n in range(100)}
    texts[0] = os.urandom(150_000).replace(b"\n", b"") + b"\n"
    for number, text in texts.items():
        (head.runs / run / "logs" / f"node-{number}.0.log").write_bytes(text)
    launcher = SlurmLauncher(head)
    found = dict.fromkeys(texts, b"")
    look = launcher.look(run, {})
    assert len(look.chunks) == 100
    while True:
        for chunk in look.chunks:
            number = int(chunk.log.removeprefix("node-").removesuffix(".0.log"))
            assert chunk.offset == len(found[number])
            found[number] += chunk.data
        if not look.more:
            break
        look = launcher.look(run, {f"node-{number}.0.log": len(text) for number, text in found.items()})
    assert found == texts
    assert head.commands < 12


def test_a_spec_of_any_size_comes_whole(head: BashHeadNode) -> None:
    run = head.made(60_000)
    assert SlurmLauncher(head).history(run).spec["command"] == ["x" * 60_000]
    (head.runs / run / "spec.json").write_text("[1, 2")
    assert SlurmLauncher(head).history(run).spec == {}


def test_the_last_checkpoints_of_each_attempt_are_told(head: BashHeadNode) -> None:
    run = head.made(1)
    lines = [json.dumps({"attempt": a, "step": s, "time": T + 100 * a + s}) for a in range(3) for s in range(50)]
    (head.runs / run / "checkpoints.jsonl").write_text("\n".join(lines) + "\nnonsense\n")
    found = SlurmLauncher(head).history(run).checkpoints
    assert [(each.attempt, each.step) for each in found] == [(a, s) for a in range(3) for s in range(30, 50)]


def test_a_run_is_found_by_job_id_among_many(head: BashHeadNode) -> None:
    runs = [head.made(number) for number in range(100, 160)]
    launcher = SlurmLauncher(head)
    assert launcher.look("123").status.run == runs[23]
    with pytest.raises(NotFound):
        launcher.look("99")
    with pytest.raises(UsageError, match="means several runs"):
        launcher.look("job")


def test_a_script_that_fails_is_told(head: BashHeadNode) -> None:
    head.slurm(status=1)
    run = head.made(1)
    with pytest.raises(CommandFailed):
        SlurmLauncher(head).cancel(run)
    assert not (head.runs / run / "cancelled").exists()
