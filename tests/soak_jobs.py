"""``make soak-jobs``: kill what a training depends on, in the middle of it, and see it end as if nothing had been.

On a real Slurm of the local cloud, through the command line, twenty times each at random moments: a process of the
training, a slurmd, slurmctld, the local cloud's process, and the client that follows. After each run its exit code 0 is
told to all who ask, every step has the loss that it has in an undisturbed run, a restart lost at most what was trained
since the last checkpoint, whoever followed saw every line once, and no process, job or half checkpoint is left.

The training is ``containers/pytorch/train_ddp.py`` under torchrun on two nodes. It needs root, and a torch that every
user of this machine can run: ``--torch`` names the directory of its ``torchrun`` and ``python3``. Without one a small
program that uses ``pcinfra.resume`` stands in for it, under srun, and no process of it is killed: srun restarts none.

``python -m tests.soak_jobs --kills 3 --only slurmd --seed 7`` takes a part, and the same moments again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pcinfra import assets, resume
from pcinfra.localcloud.process import LocalCloud
from pcinfra.localcloud.slurm import fleet
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.orders import RESTART
from tests.local.slurm.machine import processes_about
from tests.soak_losses import HEADER, INTERVAL, Event, Row, compare, events_in, losses

LONGEST = 600  # steps of the undisturbed run
ROOM = 6 * INTERVAL  # steps that are left for what is still to come when the training is held
BOUND = 900.0  # seconds for whatever is waited for; a busy machine may need minutes for one recovery
MODEL = ("--width=64", "--layers=2", "--length=64", "--log-every=1")
STAND_IN = f"""
import hashlib, json, sys, time, resume
run = resume.Run()
found = run.newest()
step, state = (found.step, (found.path / "state").read_text()) if found else (0, "")
def tell(**fields):
    if run.group.rank == 0:
        print(json.dumps(dict(time=time.time(), **fields)), flush=True)
tell(event="start", step=step, attempt=run.attempt)
while step < int(sys.argv[1]):
    step, state = step + 1, hashlib.sha256(state.encode()).hexdigest()
    time.sleep(0.1)
    tell(event="step", step=step, loss=int(state[:8], 16))
    stop = run.stopping()
    if stop or step % {INTERVAL} == 0:
        run.save(step, lambda place: (place / "state").write_text(state))
        tell(event="checkpoint", step=step)
    if stop and step < int(sys.argv[1]):
        sys.exit()
run.done()
tell(event="done", step=step)
"""
KILL = "for p in /proc/[0-9]*; do read -r name <$p/comm; [ $name != %s ] || { kill -9 ${p#/proc/} && echo; }; done"


@dataclass
class Place:
    """A project whose cluster runs."""

    folder: Path
    torch: str
    chance: random.Random

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pcinfra.cli.main", "--local", *arguments]

    def pcinfra(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=BOUND, check=False
        )

    @property
    def cloud(self) -> LocalCloud:
        return LocalCloud(self.folder / ".pcinfra" / "local")

    @property
    def cluster(self) -> SlurmCluster:
        return SlurmCluster.load(self.cloud.directory / "clusters" / "train")

    @property
    def runs(self) -> Path:
        return self.cluster.shared_path("/lustre") / "runs"

    def job(self, name: str, steps: int) -> str:
        """Write the job file of a training, and return its name."""
        code = self.folder / "code"
        shutil.copytree(assets.folder("containers") / "pytorch", code, dirs_exist_ok=True)
        shutil.copy(resume.__file__, code / "resume.py")
        (code / "count.py").write_text(STAND_IN)
        training = ["train_ddp.py", f"--steps={steps}", f"--checkpoint-every={INTERVAL}", *MODEL]
        content = {
            "name": name,
            "nodes": 2,
            "launcher": "torchrun" if self.torch else "srun",
            "processes": 1,
            "command": ["python3", *(training if self.torch else ["count.py", str(steps)])],
            "code": {"source": "directory", "path": "code"},
            "environment": {"PATH": f"{self.torch or '/usr/bin'}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
            "restarts": 1000 if self.torch else 0,
            "requeue": 1000,
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        return file.name


@dataclass
class Training:
    """One run of the training, and somebody who follows it."""

    place: Place
    name: str
    steps: int
    _clients: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.follow("submit", self.place.job(self.name, self.steps), "--follow")
        until(lambda: self.folder is not None or self.ended(), "its run directory")

    def follow(self, *arguments: str) -> None:
        """Let somebody follow it, from its first line on."""
        with self._shown(len(self._clients)).open("wb") as out, (self.place.folder / "notes").open("ab") as notes:
            command = self.place.command(*arguments)
            self._clients.append(subprocess.Popen(command, cwd=self.place.folder, stdout=out, stderr=notes))

    def _shown(self, client: int) -> Path:
        return self.place.folder / f"{self.name}.{client}.out"

    @property
    def folder(self) -> Path | None:
        return next(self.place.runs.glob(f"{self.name}-*"), None)

    @property
    def run(self) -> str:
        assert self.folder
        return self.folder.name

    def ended(self) -> bool:
        return self._clients[-1].poll() is not None

    def kill_client(self) -> None:
        self._clients[-1].kill()
        self._clients[-1].wait()

    def events(self) -> list[Event]:
        """What the training has told so far, in the order of time."""
        files = sorted(self.folder.glob("logs/node-*.log")) if self.folder else []
        text = "".join(file.read_text(errors="replace") for file in files)
        return sorted(events_in(text), key=lambda event: float(event["time"]))

    def starts(self) -> int:
        """How often it has started so far."""
        return sum(event["event"] == "start" for event in self.events())

    def processes(self) -> list[int]:
        """The processes of this machine that belong to the run."""
        mark = f"PCINFRA_RUN={self.run}\0".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in read(pid, "environ")]

    def workers(self) -> list[int]:
        ours = (b"python3\0train_ddp.py\0", b"python3\0count.py\0")
        return [pid for pid in self.processes() if read(pid, "cmdline").startswith(ours)]

    def held(self, workers: Sequence[int]) -> bool:
        """Let these get no further than near its end: what was killed must be found out before it has finished."""
        if max(losses(self.events()), default=0) >= self.steps - ROOM:
            for pid in set(workers) & set(self.workers()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
        return False

    def end(self) -> None:
        """Wait for its end, and check everything about it but its losses.

        Raises:
            AssertionError: something is not as it must be.
        """
        until(self.ended, "the end of the run")
        assert self._clients[-1].returncode == 0, f"the client exits with {self._clients[-1].returncode}"
        waited = self.place.pcinfra("wait", self.run)
        assert waited.returncode == 0, f"wait exits with {waited.returncode}: {waited.stderr}"
        written = [json.dumps(event) for event in self.events()]
        shown = {"follow": self._shown(len(self._clients) - 1).read_text()}
        shown["logs"] = self.place.pcinfra("logs", self.run).stdout
        for who, text in shown.items():
            seen = [json.dumps(event) for event in events_in(text)]
            assert Counter(seen) == Counter(written), f"{who}: {len(seen)} lines of {len(written)}"
        assert self.folder
        names = os.listdir(self.folder / "checkpoints")
        assert all(re.fullmatch(r"step-\d+|\.meet-.*", name) for name in names), names
        until(lambda: not self.processes(), "the end of its processes")
        squeue = ["squeue", "-h", "-n", f"pci-{self.run}"]
        until(lambda: not self.place.cluster.run(self.place.cluster.spec.head.name, squeue).stdout, "an empty queue")


def read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def until(met: Callable[[], object], what: str) -> None:
    end = time.monotonic() + BOUND
    while not met():
        assert time.monotonic() < end, f"no sign of {what} within {BOUND:.0f} s"
        time.sleep(0.1)


def worker(place: Place, training: Training) -> bool:
    """SIGKILL to one process of the training; torchrun starts all of them again."""
    until(lambda: training.workers() or training.ended(), "a process of the training")
    pids = training.workers()
    if pids:
        os.kill(place.chance.choice(pids), signal.SIGKILL)
    return bool(pids)


def slurmd(place: Place, training: Training) -> bool:
    """SIGKILL to the slurmd of one node. Slurm finds out, and ParallelCluster's daemon replaces the node."""
    nodes = [node.name for node in place.cluster.spec.nodes if place.cluster.up(node.name)]
    return bool(nodes) and killed(place, place.chance.choice(nodes), "slurmd")


def slurmctld(place: Place, training: Training) -> bool:
    """SIGKILL to the controller, which is started again some seconds later."""
    head = place.cluster.spec.head.name
    well = killed(place, head, "slurmctld")
    time.sleep(place.chance.uniform(0, 8))
    record = fleet.alive(place.cluster.paths, head)
    assert record
    assert record.init
    record.init.kill(RESTART)
    return well


def killed(place: Place, node: str, program: str) -> bool:
    """Kill a program on a node; return whether it ran."""
    return bool(place.cluster.run(node, ["bash", "-c", KILL % program]).stdout)


def cloud(place: Place, training: Training) -> bool:
    """SIGKILL to the local cloud. Who follows starts it again, and it starts its machines again."""
    pid = place.cloud.status().pid
    if pid:
        os.kill(pid, signal.SIGKILL)
    return bool(pid)


def client(place: Place, training: Training) -> bool:
    """SIGKILL to who follows; somebody else follows from then on."""
    training.kill_client()
    training.follow("logs", training.run, "--follow")
    return True


@dataclass(frozen=True)
class Kind:
    """What is killed.

    Args:
        kill: does it; returns whether there was something to kill.
        steps: of a run; enough for so many ``kills`` in the middle of it, and for Slurm to find out.
        starts: the training starts again some time after it, which is waited for before the next one.
    """

    kill: Callable[[Place, Training], bool]
    steps: int
    kills: int
    starts: bool = False


KINDS = {
    "worker": Kind(worker, 150, 4),
    "slurmd": Kind(slurmd, LONGEST, 3, starts=True),  # noticed after half a minute, in which the training goes on
    "slurmctld": Kind(slurmctld, 250, 4),
    "cloud": Kind(cloud, LONGEST, 3, starts=True),
    "client": Kind(client, 150, 4),
}


def disturbed(place: Place, kind: Kind, name: str, kills: int, whole: dict[int, float]) -> tuple[int, list[int]]:
    """Run the training and kill in the middle of it, some steps after what was before; return how many times, and what
    each restart lost."""
    training, done = Training(place, name, kind.steps), 0
    for _ in range(min(kills, kind.kills)):
        told, more = len(training.events()), place.chance.randint(3, 2 * INTERVAL)
        until(lambda: len(training.events()) >= told + more or training.ended(), "steps")  # noqa: B023 - now
        time.sleep(place.chance.uniform(0, 0.3))
        if training.ended() or any(event["event"] == "done" for event in training.events()):
            break
        begun, workers = training.starts(), training.workers()
        well = kind.kill(place, training)
        if well and kind.starts:
            until(lambda: training.held(workers) or training.starts() > begun or training.ended(), "a start")  # noqa: B023
            well = training.starts() > begun
        done += well
    training.end()
    return done, compare(training.events(), whole, kind.steps)


def soak(place: Place, kind: str, kills: int, whole: dict[int, float]) -> Row:
    done, bad, turn, lost, begun = 0, 0, 0, list[int](), time.monotonic()
    while done < kills and turn < 2 * kills:
        turn += 1
        name = f"{kind}{turn}"
        try:
            made, steps = disturbed(place, KINDS[kind], name, kills - done, whole)
            done, lost = done + made, lost + steps
        except AssertionError as error:
            print(f"BAD {name}: {error}", flush=True)
            place.pcinfra("cancel", name)
            done, bad = done + 1, bad + 1
    row = Row(kind, done, turn, bad, lost, time.monotonic() - begun)
    print(row, flush=True)
    return row


def found_torch() -> str:
    """Return the directory of a torchrun with a python3 beside it; empty when there is none."""
    program = shutil.which("torchrun", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    return str(Path(program).parent) if program else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak_jobs")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="of each kind")
    parser.add_argument("--only", choices=KINDS, action="append", help="this kind; may be given several times")
    parser.add_argument("--torch", default=found_torch(), metavar="DIR", help="with torchrun and python3; '' for none")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root, for nodes of their own")
        return 2
    print(f"seed {options.seed}, {'torch of ' + options.torch if options.torch else 'without torch'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-jobs-") as name:
        Path(name).chmod(0o755)
        place = Place(Path(name), options.torch, random.Random(options.seed))
        try:
            for command in (["init", "--yes"], ["up"], ["cluster", "create", "train"]):
                made = place.pcinfra(*command)
                assert made.returncode == 0, made.stderr
            undisturbed = Training(place, "whole", LONGEST)
            undisturbed.end()
            whole = losses(undisturbed.events())
            assert compare(undisturbed.events(), whole, LONGEST) == []
            print(f"undisturbed: {LONGEST} steps, the last loss is {whole[LONGEST]}", flush=True)
            kinds = [kind for kind in options.only or KINDS if options.torch or kind != "worker"]
            print(HEADER, flush=True)
            rows = [soak(place, kind, options.kills, whole) for kind in kinds]
        finally:
            place.pcinfra("local", "reset", "--yes")
        left = processes_about(Path(name))
        worst = max((steps for row in rows for steps in row.lost), default=0)
        print("\n".join(["", HEADER, *map(str, rows)]))
        kills, bad = (sum(getattr(row, name) for row in rows) for name in ("kills", "bad"))
        print(f"{kills} kills, {bad} ended badly; a restart lost {worst} steps at most, and {INTERVAL} are allowed")
        print(f"left on this machine: {left or 'nothing'}", flush=True)
    short = [row for row in rows if row.kills < options.kills]
    return 0 if not left and not short and not any(row.bad for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
