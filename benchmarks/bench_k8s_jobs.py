"""`pcinfra jobs` in a namespace of 5,000 TrainJobs, against what a real API server takes to list them.

The server's time is that of the same pages, asked over one kept connection and thrown away unread.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.jobs.kubernetes.api import PAGE, LiveApi
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.reading import OURS
from pcinfra.jobs.kubernetes.render import trainjob
from pcinfra.jobs.launcher import Query
from tests.kube.server import BINARIES, running
from tests.unit.jobs.kubernetes import crds
from tests.unit.jobs.kubernetes.jobs import RUN, job

COUNT, REPEATS, TARGET = 5000, 5, 1.2
FIELDS = {"name": "train", "image": "train:1", "launcher": "torchrun", "command": ["train.py"], "nodes": 4, "gpus": 8}


def fill(api: LiveApi) -> None:
    """Make the jobs."""
    text = trainjob.render(job(FIELDS), Dialect.V2_1).job
    path = KINDS["TrainJob"].path(api.namespace)

    def make(number: int) -> None:
        name = f"train-{number:05}"
        labels = {**text["metadata"]["labels"], "pcinfra.dev/run": name}
        api.call("POST", path, body={**text, "metadata": {**text["metadata"], "name": name, "labels": labels}})

    assert RUN in str(text)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, range(COUNT)))


def server_alone(api: LiveApi) -> int:
    """Ask for the same pages and read nothing of them but where the next one begins; return how many."""
    pages = 0
    for kind in KINDS.values():
        more = ""
        while True:
            query = {**OURS, "limit": PAGE, **({"continue": more} if more else {})}
            end = api.read(kind.path(api.namespace), query)[-1000:]
            found = re.search(rb'"continue":"([^"]+)"', end)
            pages += 1
            more = found[1].decode() if found else ""
            if not more:
                break
    return pages


def seconds(what: Callable[[], object]) -> float:
    begin = time.perf_counter()
    what()
    return time.perf_counter() - begin


def main() -> int:
    if not (BINARIES / "kube-apiserver").exists() or not crds.FOLDER.is_dir():
        print("skipped: no API server (make kube), or no CRDs of the Kubeflow Trainer")
        return 0
    wanted = ("trainer-v2.1.0-trainjobs", "training-operator-v1.8.1-pytorchjobs")
    with tempfile.TemporaryDirectory() as place, running(Path(place), wanted, controllers=False) as server:
        api = server.api()
        fill(api)
        launcher = KubernetesLauncher(api)
        pages = server_alone(api)
        assert len(launcher.runs(Query(10_000))) == COUNT
        alone, ours = [], []
        for _ in range(REPEATS):
            alone.append(seconds(lambda: server_alone(api)))
            ours.append(seconds(lambda: launcher.runs(Query(10_000))))
    ratio = statistics.median(ours) / statistics.median(alone)
    note = f"{statistics.median(ours):.2f} s against {statistics.median(alone):.2f} s of the server, in {pages} pages"
    return 0 if report(f"jobs among {COUNT} of a namespace", ratio, TARGET, note) else 1


if __name__ == "__main__":
    sys.exit(main())
