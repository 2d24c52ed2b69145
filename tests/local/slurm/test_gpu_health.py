"""The health check of GPU nodes as the prolog of a real Slurm: a broken node is drained, and its job runs elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pcinfra import assets
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from tests.local.slurm.clusters import config, spec_of

CHECK = assets.folder("bootstrap") / "parts" / "gpu-health.sh"
PROLOG = "/lustre/prolog.d/50_pcinfra_gpu_health"

# Sets the scratch root up in which the check looks, with programs of a healthy node; that of the first node fails.
SETUP = """
mkdir -p /lustre/prolog.d /lustre/tools /lustre/root/proc/driver/nvidia/gpus /lustre/root/var/lib/pcinfra
echo gpus=1 efa=0 >/lustre/root/var/lib/pcinfra/expected
cat >/lustre/tools/nvidia-smi <<'END'
#!/bin/bash
case "$*" in --query-gpu=*) [ "$SLURMD_NODENAME" != {broken} ] || exit 15; echo '0, 0' ;; esac
END
cat >{prolog} <<'END'
#!/bin/bash
export PCINFRA_ROOT=/lustre/root SCONTROL=/usr/bin/scontrol PATH=/lustre/tools:/usr/bin:/bin
exec bash /lustre/check.sh
END
printf %s {check} >/lustre/check.sh
chmod 755 /lustre/tools/* {prolog}
"""


@pytest.fixture
def cluster(_root: None, tmp_path: Path) -> Iterator[SlurmCluster]:
    settings = {"Prolog": PROLOG, "PrologFlags": "Alloc", "SchedulerParameters": "nohold_on_prolog_fail"}
    made = SlurmCluster.create(tmp_path / "cluster", replace(spec_of(config()), settings=settings))
    made.start()
    yield made
    made.destroy()


def bash(cluster: SlurmCluster, text: str) -> str:
    return cluster.run(cluster.spec.head.name, ["bash", "-c", text], timeout=90).stdout.strip()


def test_a_broken_node_is_drained_and_its_job_runs_on_the_other(cluster: SlurmCluster) -> None:
    broken, healthy = (node.name for node in cluster.spec.nodes)
    bash(cluster, SETUP.format(broken=broken, prolog=PROLOG, check=shlex.quote(CHECK.read_text())))
    job = 'echo "ran on $SLURMD_NODENAME"'
    number = bash(cluster, f"cd /lustre && sbatch --requeue --parsable -N1 -o /lustre/out --wrap {shlex.quote(job)}")
    wait = "for i in {1..300}; do [ ! -s /lustre/out ] || break; "
    wait += f"scontrol update JobId={number} StartTime=now; sleep 0.1; done 2>/dev/null; cat /lustre/out"
    said = bash(cluster, wait)  # a requeued job waits for two minutes otherwise
    assert said == f"ran on {healthy}"
    assert bash(cluster, f"sinfo -h -n {broken} -o '%t %E'").split(maxsplit=1) == [
        "drain",
        "pcinfra: nvidia-smi failed with status 15:",
    ]
