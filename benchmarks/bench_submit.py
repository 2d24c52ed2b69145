"""1,000 tasks as one array, and 1,000 different job files in one ``pcinfra submit``, against a loop of ``sbatch``.

All on the local cloud's Slurm, whose nodes are kept busy so that nothing of it starts. All three are timed over one
round trip of SSM Run Command; reading the job files, checking and rendering them counts, the start of Python does not
(bench_startup.py has it).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.aws import Aws, Target
from pcinfra.jobs.headnode import SsmHeadNode, head_node_id
from pcinfra.jobs.load import load
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.payloads import S3Payloads
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.project.load import load as load_project

JOBS, REPEATS = 1000, 3
ARRAY, DIFFERENT = 0.05, 0.85
LOOP = f"""mkdir -p ../loop && cd ../loop
printf '#!/bin/bash\\n#SBATCH --cpus-per-task=1\\ntrue\\n' >job
for ((i = 0; i < {JOBS}; i++)); do sbatch --parsable --output=/dev/null job; done >ids
"""


def pcinfra(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pcinfra.cli.main", "--local", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def head_node(folder: Path) -> SsmHeadNode:
    from pcinfra.localcloud.process import LocalCloud

    endpoint = LocalCloud(folder / ".pcinfra" / "local").ensure()
    cloud = Aws(Target("us-east-1", endpoint.url, credentials=endpoint.credentials))
    payloads = S3Payloads(cloud, lambda: load_project(folder / "pcinfra.yaml").bucket_name(cloud.account))
    return SsmHeadNode(cloud, head_node_id(cloud, "train"), "ubuntu", payloads=payloads)


def submitted(head: SsmHeadNode, files: list[Path]) -> None:
    jobs = [load(file) for file in files]
    made = [render(job.spec, new_run_id(job.spec.name), job.script, job.code) for job in jobs]
    assert all(isinstance(answer, str) for answer in SlurmLauncher(head).submit_all(made))


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            return measured(folder)
        finally:
            pcinfra(folder, "local", "reset", "--yes")


def measured(folder: Path) -> int:
    for command in (["init", "--yes"], ["up"], ["cluster", "create", "train"]):
        pcinfra(folder, *command)
    head = head_node(folder)
    pcinfra(folder, "submit", "--nodes", "2", "--", "sleep", "7200")
    files = [folder / f"job{number}.yaml" for number in range(JOBS)]
    for number, file in enumerate(files):
        file.write_text(f"command: [echo, 'job {number}']\ncpus: 1\nenvironment: {{NUMBER: '{number}'}}\n")
    equal = folder / "equal.yaml"
    equal.write_text(f"command: ['true']\ncpus: 1\narray: {{tasks: {JOBS}}}\n")
    loop, array, different = [], [], []
    for _ in range(REPEATS):
        loop.append(timed(lambda: head.run(LOOP, timeout=600).check()))
        array.append(timed(lambda: submitted(head, [equal])))
        different.append(timed(lambda: submitted(head, files)))
        head.run("scancel -t PENDING -u $USER; while squeue -h -t PENDING | grep -q .; do sleep 0.5; done", timeout=300)
    base, one, many = map(statistics.median, (loop, array, different))
    note = f"{one:.2f} s against {base:.2f} s"
    met = [report(f"{JOBS} tasks as one array, against a loop of sbatch", one / base, ARRAY, note)]
    note = f"{many:.2f} s against {base:.2f} s"
    met.append(report(f"{JOBS} job files in one submit, against a loop of sbatch", many / base, DIFFERENT, note))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
