"""What happens to a job on Kubernetes when something fails: real torchruns, under the variables of each operator."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pcinfra import resume
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render import pytorchjob, runtimes, trainjob
from tests.local import train_line
from tests.local.kubelet import Pod, Pods, lines, placed, torchrun
from tests.unit.jobs.kubernetes.jobs import job
from tests.unit.jobs.kubernetes.operator import pytorchjob_pod, trainjob_pod
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install torch"),
]

TRAIN: dict[str, Any] = {
    "name": "train", "image": "train:1", "launcher": "torchrun", "command": ["train.py"], "cpus": 1, "nodes": 2,
}  # fmt: skip


@dataclass
class Training:
    """A job of two pods in a folder that both see."""

    folder: Path
    pods: Pods

    def said(self) -> list[dict[str, Any]]:
        return lines(self.pods.pods)

    def starts(self) -> list[dict[str, Any]]:
        """The starts of the processes of rank 0: from which step, how many processes, torchrun's count of restarts."""
        return [line for line in self.said() if "from" in line]

    def saved(self) -> int:
        """The step of the newest checkpoint."""
        found = resume.Checkpoints(self.folder / "checkpoints").newest()
        return found.step if found else 0

    def more(self, steps: int = 10) -> int:
        """Wait until so many more steps are saved; return the newest."""
        wanted = self.saved() + steps
        until(lambda: bool(self.pods.look()) and self.saved() >= wanted)
        return self.saved()

    def began(self, what: Callable[[dict[str, Any]], bool], step: int = -1) -> dict[str, Any]:
        """Wait until the processes have started so, from ``step`` or a later one."""

        def look() -> list[dict[str, Any]]:
            self.pods.look()
            return [each for each in self.starts() if what(each) and each["from"] >= step]

        return until(look)[0]

    def kill_process_of(self, pod: int) -> None:
        """Kill the training process of a pod, and leave its torchrun."""
        (victim,) = self.pods.pods[pod].workers()
        os.kill(victim, signal.SIGKILL)

    def finish(self) -> None:
        """Let it end, and see that every step that was ever made has the loss of an undisturbed run."""
        self.more()
        (self.folder / "finish").touch()
        until(lambda: self.pods.look() == [0, 0])
        losses = [(line["step"], line["loss"]) for line in self.said() if "loss" in line]
        whole = train_line.curve(max(step for step, _ in losses))
        assert losses == [(step, pytest.approx(whole[step], rel=1e-9, abs=1e-12)) for step, _ in losses]
        assert {step for step, _ in losses} == set(whole)


Start = Callable[..., Training]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a job of this kind with these changes."""
    begun: list[Pods] = []

    def begin(kind: str, **changes: Any) -> Training:
        torchrun(tmp_path)
        shutil.copy(resume.__file__, tmp_path / "resume.py")
        shutil.copy(train_line.__file__, tmp_path / "train.py")
        found = Training(tmp_path, _pods(tmp_path, kind, {**TRAIN, **changes}))
        begun.append(found.pods)
        found.pods.start()
        return found

    yield begin
    for pods in begun:
        pods.stop()


def _pods(folder: Path, kind: str, fields: dict[str, Any]) -> Pods:
    """Return the pods of two nodes, and how their owner starts them again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = job(fields)
    if kind == "TrainJob":
        made = trainjob.render(given, Dialect.V2_1).job
        host = f"{given.run}-node-0-0.{given.run}"
        asked = [("node", index, trainjob_pod(made, index)) for index in range(2)]
        again, most = True, runtimes.RESTARTS
    else:
        made = pytorchjob.render(given).job
        kinds = [("Worker", 0), ("Worker", 1)] if given.settings.elastic else [("Master", 0), ("Worker", 0)]
        host = f"{given.run}-{kinds[0][0].lower()}-0"
        asked = [(kind.lower(), index, pytorchjob_pod(made, kind, index)) for kind, index in kinds]
        again, most = False, made["spec"]["runPolicy"]["backoffLimit"]
    pods = []
    for number, (name, index, (command, variables)) in enumerate(asked):
        command, variables = placed(command, variables, host, port, number == 0)
        pods.append(Pod(command, variables, folder, f"{name}-{index}"))
    return Pods(pods, again, most)


ELASTIC = {"restarts": 3, "requeue": 4, "kubernetes": {"elastic": {"min": 1, "max": 2}}}


def both(start: dict[str, Any]) -> bool:
    return bool(start["size"] == 2)


def test_a_killed_process_of_an_elastic_job_has_all_started_again_in_their_pods(start: Start) -> None:
    run = start("PyTorchJob", **ELASTIC)
    run.began(both)
    saved = run.more()
    run.kill_process_of(1)
    run.began(both, saved)
    run.finish()
    assert run.pods.restarted == []


def test_a_lost_worker_costs_the_others_a_restart_and_they_train_on_until_it_is_back(start: Start) -> None:
    run = start("PyTorchJob", **ELASTIC)
    run.began(both)
    saved = run.more()
    lost = run.pods.pods.pop()
    lost.kill()
    alone = run.began(lambda begun: begun["size"] == 1, saved)
    assert alone["count"] == 1  # the process that waited for the lost one failed
    later = run.more()
    run.pods.pods.append(lost)  # kubelet, or another node, has it again
    run.began(both, later)
    run.finish()


def test_a_lost_host_of_the_rendezvous_ends_every_agent_and_all_begin_anew(start: Start) -> None:
    run = start("PyTorchJob", **ELASTIC)
    run.began(both)
    saved = run.more()
    host, other = run.pods.pods
    host.kill()
    assert until(lambda: other.code) == 1
    assert "RendezvousConnectionError" in other.log.read_text()
    assert run.began(both, saved)["count"] == 0
    run.finish()
    assert set(run.pods.restarted) == {host.name, other.name}


def test_without_restarts_the_failure_of_one_ends_the_pods_of_master_and_workers(start: Start) -> None:
    run = start("PyTorchJob", requeue=3)
    run.began(both)
    for number in (1, 0):
        saved = run.more()
        run.pods.restarted.clear()
        run.kill_process_of(number)
        run.began(both, saved)
        assert set(run.pods.restarted) == {"master-0", "worker-0"}  # each counts against the backoffLimit
    run.finish()


def test_a_trainjob_starts_processes_again_in_their_pods_and_all_pods_when_one_is_lost(start: Start) -> None:
    run = start("TrainJob", restarts=3)
    run.began(both)
    saved = run.more()
    run.kill_process_of(1)
    run.began(both, saved)
    assert run.pods.restarted == []
    saved = run.more()
    run.pods.pods[0].kill()
    assert run.began(both, saved)["count"] == 0
    assert run.pods.restarted[0] == "node-0"
    run.finish()
