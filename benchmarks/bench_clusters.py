"""Validating offline against ``pcluster create-cluster --dryrun``, and rendering against reading the result.

Both with 1 and with 50 queues. The dry run has the local cloud, so that its calls cost no way; ours makes none.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from benchmarks.timing import report
from pcinfra import cloudformation, stages
from pcinfra.aws import Target
from pcinfra.cli.local import endpoint
from pcinfra.cli.session import Session
from pcinfra.clusters.inputs import ClusterInputs, inputs_from_outputs
from pcinfra.clusters.render import render
from pcinfra.localcloud.process import LocalCloud
from pcinfra.project import Cluster, Project, Queue

BIN = Path(sys.executable).parent
SIZES = (1, 50)
REPEATS = 7
TARGET = 0.2


def cluster(queues: int) -> Cluster:
    made = (Queue(name=f"q{number}", instance_type="p5.48xlarge", min_nodes=0) for number in range(queues))
    return Cluster(queues=tuple(made))


def project_file(queues: int) -> str:
    rows = [{"name": queue.name, "min_nodes": 0} for queue in cluster(queues).queues]
    return yaml.safe_dump({"clusters": {"train": {"queues": rows}}})


def infrastructure(cloud: LocalCloud) -> tuple[Target, ClusterInputs]:
    """Bring everything up that a cluster stands on."""
    session = Session(local=True, jobs=16)
    session.__dict__ |= {"project": Project(), "target": endpoint("us-east-1", cloud.directory)}
    session.run(stages.up(session.project, session.facts()))
    stack = cloudformation.find(session.cloud, session.project.prerequisites.stack)
    outputs = stack.outputs if stack else {}
    return session.target, inputs_from_outputs(outputs, session.project, session.cloud.account)


def medians(commands: Mapping[str, tuple[Sequence[str], Mapping[str, str]]]) -> dict[str, float]:
    """Return the median seconds of each command; pcluster ends with 1 after a dry run that went well."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(REPEATS + 1):
        for name, (command, environment) in commands.items():
            begin = time.perf_counter()
            done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
            if turn:
                times[name].append(time.perf_counter() - begin)
            if "Request would have succeeded" not in done.stdout and done.returncode:
                sys.exit(f"{name}: {done.stdout}{done.stderr}")
    return {name: statistics.median(values) for name, values in times.items()}


def validating(target: Target, inputs: ClusterInputs, folder: Path) -> bool:
    environment = {**os.environ, **target.environment(), "PYTHONWARNINGS": "ignore"}
    commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {}
    for size in SIZES:
        file, config = folder / f"project-{size}.yaml", folder / f"cluster-{size}.yaml"
        file.write_text(project_file(size))
        config.write_text(render("train", cluster(size), inputs))
        ours = [str(BIN / "pcinfra"), "-f", str(file), "cluster", "validate", "train", "--offline"]
        theirs = [str(BIN / "pcluster"), "create-cluster", "-n", "train", "-c", str(config), "--dryrun", "true"]
        theirs += ["-r", "us-east-1", "--suppress-validators", "type:KeyPairValidator"]
        commands |= {f"ours {size}": (ours, os.environ), f"pcluster {size}": (theirs, environment)}
    seconds = medians(commands)
    for name, value in seconds.items():
        print(f"     {name}: {value * 1000:.0f} ms")
    met = []
    for size in SIZES:
        ratio = seconds[f"ours {size}"] / seconds[f"pcluster {size}"]
        met.append(report(f"validate --offline, {size} queue(s) / pcluster --dryrun", ratio, TARGET))
    return all(met)


def rendering(inputs: ClusterInputs) -> bool:
    made = cluster(50)
    text = render("train", made, inputs)
    ours, theirs = alternating(lambda: render("train", made, inputs), lambda: yaml.safe_load(text))
    print(f"     render 50 queues: {ours * 1000:.1f} ms; safe_load: {theirs * 1000:.1f} ms")
    return report("render 50 queues / yaml.safe_load of the result", ours / theirs, TARGET)


def alternating(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the median CPU seconds of two functions, run in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(15):
        for function, kept in zip((one, other), times, strict=True):
            begin = time.process_time()
            function()
            kept.append(time.process_time() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        cloud = LocalCloud(Path(folder) / "local")
        try:
            target, inputs = infrastructure(cloud)
            met = [rendering(inputs), validating(target, inputs, Path(folder))]
        finally:
            cloud.stop()
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
