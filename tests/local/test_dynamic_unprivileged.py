"""Dynamic nodes of a local cloud that an ordinary user runs: they come when a job needs them, and go."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcinfra.localcloud.slurm import packages
from tests.local.slurm.machine import processes_about
from tests.local.slurm.ordinary import ORDINARY, become, interpreter

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

DRIVER = """
import json, sys, yaml
from pathlib import Path
from pcinfra.aws import Aws, Target
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.localcloud.process import LocalCloud
from pcinfra.project import Project
from pcinfra.shell import Subprocess
from tests.local.infrastructure import infrastructure
from tests.waiting import until

cloud = LocalCloud(Path(sys.argv[1]))
endpoint = cloud.start()
said = {}
try:
    target = Target("us-east-1", endpoint.url, credentials=endpoint.credentials)
    aws, program = Aws(target), Pcluster(Subprocess(), target)
    inputs = infrastructure(aws, Project())
    inside = {"SubnetIds": [inputs.private_subnet]}
    resource = {"Name": "c", "InstanceType": "c7i.large", "MinCount": 0, "MaxCount": 2}
    config = {
        "Region": "us-east-1", "Image": {"Os": "ubuntu2204"}, "CustomS3Bucket": inputs.bucket,
        "HeadNode": {"InstanceType": "m5.xlarge", "Networking": {"SubnetId": inputs.private_subnet}},
        "Scheduling": {"Scheduler": "slurm", "SlurmQueues": [
            {"Name": "work", "Networking": inside, "ComputeResources": [resource]}]},
    }
    program.create("plain", yaml.safe_dump(config))

    def ready():
        found = aws.call("cloudformation", "DescribeStacks", StackName="plain")["Stacks"][0]
        return found["StackStatus"].endswith("COMPLETE")

    def instances(kind):
        filters = [{"Name": "tag:parallelcluster:node-type", "Values": [kind]},
                   {"Name": "instance-state-name", "Values": ["pending", "running"]}]
        rows = aws.call("ec2", "DescribeInstances", Filters=filters)["Reservations"]
        return [each["InstanceId"] for row in rows for each in row["Instances"]]

    def shell(script):
        head = instances("HeadNode")[0]
        sent = aws.call("ssm", "SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[head],
                        Parameters={"commands": [script]})["Command"]["CommandId"]
        def ended():
            found = aws.call("ssm", "GetCommandInvocation", CommandId=sent, InstanceId=head)
            return found if found["Status"] not in ("Pending", "InProgress") else None
        done = until(ended)
        return done["StandardOutputContent"] + done["StandardErrorContent"]

    until(ready)
    said["before"] = len(instances("Compute"))
    said["ran"] = shell("srun -N 2 bash -c 'echo $SLURMD_NODENAME $(id -u)'").split()
    said["during"] = len(instances("Compute"))
    shell("scontrol update NodeName=work-dy-c-[1-2] State=POWER_DOWN")
    until(lambda: not instances("Compute"))
    said["after"] = len(instances("Compute"))
    said["again"] = shell("srun -Q -w work-dy-c-2 printenv SLURMD_NODENAME 2>/dev/null").strip()
finally:
    cloud.stop()
print(json.dumps(said))
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory of an ordinary user's; not below pytest's own, which only its user can enter."""
    if absent := packages.missing(root=False):
        pytest.skip(f"the local Slurm needs {', '.join(absent)}: {packages.INSTALL}")
    with tempfile.TemporaryDirectory(prefix="pcinfra-") as made:
        if os.geteuid() == 0:
            os.chown(made, ORDINARY, ORDINARY)
        yield Path(made)
        assert processes_about(Path(made)) == []


def test_dynamic_nodes_come_with_a_job_and_go_without_root(directory: Path) -> None:
    packages_here = sysconfig.get_path("purelib")
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8",
                   "PYTHONPATH": f"{ROOT}:{packages_here}"}  # fmt: skip
    python = [*become(), interpreter(), "-B", "-c"]
    asked = subprocess.run([*python, "import moto, pcluster"], capture_output=True, check=False, env=environment)
    if asked.returncode:
        pytest.skip("an ordinary user's Python cannot use the packages of this one")
    argv = [*python, DRIVER, str(directory / "cloud")]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=300, cwd=directory, env=environment
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    uid = str(os.geteuid() or ORDINARY)
    assert sorted(said["ran"]) == sorted(["work-dy-c-1", uid, "work-dy-c-2", uid])
    assert (said["before"], said["during"], said["after"]) == (0, 2, 0)
    assert said["again"] == "work-dy-c-2"
