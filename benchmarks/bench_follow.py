"""Following 100 logs against following one: calls to AWS per minute, and the share of a core that the client takes.

A real client speaks to SSM Run Command of the local cloud's services, behind which this machine's own bash runs the
scripts, with a stand-in for squeue alone. Every log gets a line each second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.aws import Aws, Patience, Target
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.headnode import SsmHeadNode
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.localcloud import CREDENTIALS

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 30.0
CPU, CALLS = 0.05, 1.1


@contextmanager
def cloud(folder: Path) -> Iterator[Target]:
    """Run the local cloud's services with bash behind every instance; squeue says that every job runs."""
    programs = folder / "bin"
    programs.mkdir()
    (folder / "cloud").mkdir()
    (programs / "squeue").write_text(
        '#!/bin/sh\nwhile [ "$1" != -n ]; do shift; done\necho "$2|RUNNING|None|n[0-99]"\n'
    )
    (programs / "squeue").chmod(0o755)
    command = [sys.executable, "-m", "tests.local.services.bashcloud", str(folder / "cloud")]
    path = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=ROOT, env=path) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        yield Target("us-east-1", endpoint=f"http://127.0.0.1:{port}", credentials=CREDENTIALS)
        process.communicate()


def made(runs: Path, logs: int) -> str:
    """Make the directory of a run with so many logs, and return its id."""
    run = new_run_id("bench")
    folder = runs / run
    (folder / "logs").mkdir(parents=True)
    (folder / "job.id").write_text("1\n")
    (folder / "job.sbatch").write_text(f"#!/bin/bash\n#SBATCH --nodes={logs}\n")
    begun = {"job": "1", "attempt": 0, "nodes": f"n[0-{logs - 1}]", "count": logs, "gpus": 8, "started": time.time()}
    (folder / "attempts.jsonl").write_text(json.dumps(begun) + "\n")
    subprocess.run(["chmod", "-R", "a+rwX", str(runs)], check=True)
    return run


def write(folder: Path, logs: int, end: threading.Event) -> None:
    """Append a line to every log each second."""
    for number in range(1_000_000):
        for node in range(logs):
            with (folder / f"node-{node}.0.log").open("a") as log:
                log.write(
                    f"[{time.time():.3f}] rank {node}: step {number}, loss {1 / (number + 1):.6f}, 812.4 samples/s\n"
                )
        if end.wait(1.0):
            return


def followed(target: Target, instance: str, runs: Path, logs: int) -> tuple[float, float, int]:
    """Return calls per minute, the share of a core, and the lines that were shown, of following a run for a while."""
    run = made(runs, logs)
    end = threading.Event()
    threading.Thread(target=write, args=(runs / run / "logs", logs, end), daemon=True).start()
    door = Aws(target, Patience(attempts=3))
    lines: list[int] = []
    begin = time.monotonic()

    def show(text: bytes) -> None:
        lines.append(text.count(b"\n"))
        if time.monotonic() - begin > SECONDS:
            raise TimeoutError

    launcher = SlurmLauncher(SsmHeadNode(door, instance, "nobody", runs=str(runs)))
    launcher.look(run)
    door.calls.clear()
    spent, begin = time.thread_time(), time.monotonic()
    with suppress(TimeoutError):
        Follower(launcher, show, print).follow(run)
    spent, lasted = time.thread_time() - spent, time.monotonic() - begin
    end.set()
    return sum(door.calls.values()) / lasted * 60, spent / lasted, sum(lines)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        runs = folder / "runs"
        runs.mkdir(mode=0o777)
        with cloud(folder) as target:
            answer = Aws(target).call("ec2", "RunInstances", ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)
            instance = str(answer["Instances"][0]["InstanceId"])
            one, _, few = followed(target, instance, runs, 1)
            many, share, shown = followed(target, instance, runs, 100)
    note = f"{many:.0f} and {one:.0f} calls a minute; {shown} and {few} lines in {SECONDS:.0f} s"
    met = report("calls per minute, 100 logs / 1 log", many / one, CALLS, note)
    return 0 if report("client's share of a core, 100 logs", share, CPU) and met else 1


if __name__ == "__main__":
    sys.exit(main())
