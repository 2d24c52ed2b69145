"""``submit --follow`` to the first line of the log, against ``srun`` of the same command on an idle local cluster.

All are timed over SSM Run Command, and take turns; the start of Python does not count (bench_startup.py has it). The
target is 1.5 times plain ``srun`` and one round trip. Slurm starts a batch job only when its controller looks again,
once a second, and nothing that it is told changes that (docs/performance.md): so ``sbatch`` alone, to the first line in
its file, is what can be reached, and ours is compared with that as well. Each turn begins at another moment of the
second, the same for both, because that is what they depend on most.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_submit import head_node, pcinfra
from benchmarks.timing import report
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.headnode import SsmHeadNode
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec

TARGET, REACHED, REPEATS = 1.5, 1.1, 20
COMMAND = ("echo", "here")
SRUN = "srun -N 1 -n 1 echo here"
SBATCH = """rm -f ../first; sbatch --parsable -N 1 --output=../first --wrap 'srun echo here' >/dev/null
until [ -s ../first ]; do sleep 0.02; done
"""
IDLE = "while squeue -h | grep -q .; do sleep 0.05; done"


class FirstLine(Exception):
    """It is there."""


def first_line(head: SsmHeadNode) -> None:
    """Submit a job and follow it until its first line is shown."""
    launcher = SlurmLauncher(head)
    made = render(JobSpec(command=COMMAND, cpus=1), new_run_id("first"))
    launcher.submit(made)

    def show(text: bytes) -> None:
        if text:
            raise FirstLine

    try:
        Follower(launcher, show, lambda _: None).follow(made.run)
    except FirstLine:
        return
    raise AssertionError("no line")


def timed(head: SsmHeadNode, action: Callable[[], object], phase: float) -> float:
    """Return the seconds that ``action`` takes on an idle cluster, begun at ``phase`` (0 to 1) of a second."""
    head.run(IDLE).check()
    time.sleep((phase - time.time()) % 1)
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def measured(folder: Path) -> int:
    for command in (["init", "--yes"], ["up"], ["cluster", "create", "train"]):
        pcinfra(folder, *command)
    head = head_node(folder)
    actions: dict[str, Callable[[], object]] = {
        "ours": lambda: first_line(head),
        "srun": lambda: head.run(SRUN).check(),
        "sbatch": lambda: head.run(SBATCH).check(),
        "trip": lambda: head.run("true").check(),
    }
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(REPEATS + 1):
        for name, action in actions.items():
            spent = timed(head, action, turn / REPEATS)
            if turn:
                times[name].append(spent)
    ours, srun, sbatch, trip = (statistics.mean(each) for each in times.values())
    note = (
        f"{ours:.2f} s; srun with its round trip {srun:.2f} s, sbatch alone {sbatch:.2f} s, a round trip {trip:.2f} s"
    )
    plain = max(srun - trip, 0.0)
    met = report("submit to the first line / srun and a round trip", ours / (plain + trip), TARGET, note)
    return 0 if report("submit to the first line / sbatch alone", ours / sbatch, REACHED) and met else 1


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            return measured(folder)
        finally:
            pcinfra(folder, "local", "reset", "--yes")


if __name__ == "__main__":
    sys.exit(main())
