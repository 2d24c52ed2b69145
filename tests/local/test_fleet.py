"""A cluster's machines as they come and go, with the real pcluster and a real Slurm: one cluster for all of it."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from pcinfra.aws import Aws, Target
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.errors import NotFound
from pcinfra.jobs.headnode import SsmHeadNode
from pcinfra.jobs.launcher import State
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.localcloud.process import LocalCloud
from pcinfra.localcloud.slurm import packages
from pcinfra.project import Project
from pcinfra.shell import Subprocess
from tests.local.infrastructure import infrastructure
from tests.local.slurm.machine import processes_about

pytestmark = [pytest.mark.slow, pytest.mark.root]

T = TypeVar("T")

NAME = "fleet"
SCRIPT = """#!/bin/bash
echo "$1 ran on $(hostname) as $(id -un)" | tee -a /home/actions
[[ $1 != fail ]] || { echo "no such thing" >&2; exit 3; }
"""


class Fleet:
    """The cluster, and how a user of it sees what goes on."""

    def __init__(self, directory: Path) -> None:
        self.cloud = LocalCloud(directory)
        endpoint = self.cloud.start()
        target = Target("us-east-1", endpoint.url, credentials=endpoint.credentials)
        self.aws = Aws(target)
        self.pcluster = Pcluster(Subprocess(), target)
        self.inputs = infrastructure(self.aws, Project())
        self.aws.call("s3", "PutObject", Bucket=self.inputs.bucket, Key="my/action.sh", Body=SCRIPT.encode())

    def config(self, action: str = "configured") -> dict[str, Any]:
        inputs = self.inputs
        script = f"s3://{inputs.bucket}/my/action.sh"
        access = {"S3Access": [{"BucketName": inputs.bucket}]}
        inside = {"SubnetIds": [inputs.private_subnet]}
        p5 = {"Name": "p5", "InstanceType": "p5.48xlarge", "MinCount": 1, "MaxCount": 2}
        types = [{"InstanceType": "c7i.large"}, {"InstanceType": "c6i.large"}]
        own = {"DeletionPolicy": "Delete"}
        both = {"AutoImportPolicy": ["NEW", "CHANGED"], "AutoExportPolicy": ["NEW", "CHANGED"]}
        linked = {"Name": "my", "FileSystemPath": "/my", "DataRepositoryPath": f"s3://{inputs.bucket}/my/", **both}
        lustre = {
            "StorageCapacity": 1200,
            "DeploymentType": "PERSISTENT_2",
            "PerUnitStorageThroughput": 125,
            **own,
            "DataRepositoryAssociations": [{**linked, "BatchImportMetaDataOnCreate": True}],
        }
        return {
            "Region": "us-east-1",
            "Image": {"Os": "ubuntu2204"},
            "CustomS3Bucket": inputs.bucket,
            "HeadNode": {
                "InstanceType": "m5.2xlarge",
                "Networking": {"SubnetId": inputs.public_subnet, "ElasticIp": True},
                "CustomActions": {"OnNodeConfigured": {"Script": script, "Args": [action]}},
                "Iam": access,
            },
            "LoginNodes": {
                "Pools": [
                    {
                        "Name": "login",
                        "Count": 1,
                        "InstanceType": "c7i.large",
                        "Networking": {"SubnetIds": [inputs.public_subnet]},
                    }
                ]
            },
            "Scheduling": {
                "Scheduler": "slurm",
                "SlurmSettings": {
                    "ScaledownIdletime": 60,
                    "QueueUpdateStrategy": "DRAIN",
                    "CustomSlurmSettings": [{"MaxArraySize": 5000}],
                },
                "SlurmQueues": [
                    {
                        "Name": "gpu",
                        "Networking": inside,
                        "ComputeResources": [p5],
                        "CustomActions": {"OnNodeStart": {"Script": script, "Args": ["a 'b'"]}},
                        "Iam": access,
                    },
                    {
                        "Name": "spot",
                        "CapacityType": "SPOT",
                        "Networking": inside,
                        "ComputeResources": [{"Name": "c", "Instances": types, "MinCount": 0, "MaxCount": 3}],
                    },
                    {
                        "Name": "bad",
                        "Networking": inside,
                        "ComputeResources": [{"Name": "c", "InstanceType": "c7i.large", "MinCount": 0, "MaxCount": 2}],
                        "CustomActions": {"OnNodeConfigured": {"Script": script, "Args": ["fail"]}},
                        "Iam": access,
                    },
                ],
            },
            "SharedStorage": [
                {
                    "Name": "home",
                    "MountDir": "/home",
                    "StorageType": "Efs",
                    "EfsSettings": own,
                },
                {"Name": "own", "MountDir": "/own", "StorageType": "FsxLustre", "FsxLustreSettings": lustre},
            ],
        }

    def settle(self, name: str = NAME) -> str:
        def status() -> str:
            found = self.aws.call("cloudformation", "DescribeStacks", StackName=name)["Stacks"][0]["StackStatus"]
            return "" if found.endswith("IN_PROGRESS") else str(found)

        return eventually(status, 120)

    def failures(self, name: str = NAME) -> list[str]:
        """Return what the stack and those inside it say of what failed."""
        stacks = self.aws.call("cloudformation", "DescribeStacks")["Stacks"]
        names = [each["StackName"] for each in stacks if each["StackName"].startswith(name)]
        pages = [self.aws.call("cloudformation", "DescribeStackEvents", StackName=each) for each in names]
        events = [event for page in pages for event in page["StackEvents"]]
        return [
            str(event.get("ResourceStatusReason", "")) for event in events if event["ResourceStatus"].endswith("FAILED")
        ]

    def instances(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the running instances of a kind of node by id."""
        filters = [
            {"Name": "tag:parallelcluster:cluster-name", "Values": [NAME]},
            {"Name": "tag:parallelcluster:node-type", "Values": [kind]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        rows = self.aws.call("ec2", "DescribeInstances", Filters=filters)["Reservations"]
        return {each["InstanceId"]: each for row in rows for each in row["Instances"]}

    def queues(self) -> list[str]:
        """Return the queue of each compute node that runs."""
        tags = ({tag["Key"]: tag["Value"] for tag in each["Tags"]} for each in self.instances("Compute").values())
        return [each["parallelcluster:queue-name"] for each in tags]

    def log(self, stream: str, holding: str = "") -> str:
        """Return the first log in CloudWatch whose stream ends so, of those in which ``holding`` is."""
        name = self.aws.call("logs", "DescribeLogGroups", logGroupNamePrefix=f"/aws/parallelcluster/{NAME}")
        group = name["logGroups"][0]["logGroupName"]
        streams = self.aws.call("logs", "DescribeLogStreams", logGroupName=group)["logStreams"]
        for each in (row["logStreamName"] for row in streams if row["logStreamName"].endswith(stream)):
            events = self.aws.call("logs", "GetLogEvents", logGroupName=group, logStreamName=each)["events"]
            text = "\n".join(event["message"] for event in events)
            if holding in text:
                return text
        return ""

    def shell(self, script: str, instance: str = "") -> str:
        """Run a script as root on an instance, the head node if nothing is said, and return what it printed."""
        where = instance or next(iter(self.instances("HeadNode")))
        sent = self.aws.call(
            "ssm", "SendCommand", DocumentName="AWS-RunShellScript", InstanceIds=[where],
            Parameters={"commands": script.splitlines()},
        )  # fmt: skip
        command = sent["Command"]["CommandId"]

        def ended() -> dict[str, Any]:
            found = self.aws.call("ssm", "GetCommandInvocation", CommandId=command, InstanceId=where)
            return found if found["Status"] not in ("Pending", "InProgress") else {}

        done = eventually(ended, 120)
        assert done["Status"] == "Success", done
        return str(done["StandardOutputContent"])

    def online(self) -> list[str]:
        rows = self.aws.call("ssm", "DescribeInstanceInformation")["InstanceInformationList"]
        return [row["InstanceId"] for row in rows]

    def user(self, command: str) -> str:
        return self.shell(f"su - ubuntu -c {shlex.quote(command)}").strip()

    def states(self, queue: str) -> dict[str, str]:
        lines = self.shell(f"sinfo -h -N -p {queue} -o '%N %T'").splitlines()
        return dict(line.split() for line in lines)

    def job(self, number: str) -> str:
        return self.user(f"squeue -h -j {number} -o '%T %N' 2>/dev/null || true")


def eventually(look: Callable[[], T], seconds: float = 60) -> T:
    """Return the first answer that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, inspect.getsource(look)
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if os.geteuid() != 0:
        pytest.skip("nodes with namespaces of their own need root")
    if absent := packages.missing(root=True):
        pytest.skip(f"the local Slurm needs {', '.join(absent)}: {packages.INSTALL}")
    directory = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # pcluster keeps its log there
        made = Fleet(directory)
        try:
            made.pcluster.create(NAME, yaml.safe_dump(made.config()))
            assert made.settle() == "CREATE_COMPLETE", made.failures()
            yield made
        finally:
            made.cloud.stop()
    assert processes_about(directory) == []


def test_every_kind_of_node_is_there(fleet: Fleet) -> None:
    head, login = (next(iter(fleet.instances(kind).values())) for kind in ("HeadNode", "LoginNode"))
    assert head["PublicIpAddress"]
    eventually(lambda: login["InstanceId"] in fleet.online())
    eventually(lambda: "gpu-st-p5-1" in fleet.shell("srun hostname", login["InstanceId"]))
    mounted = fleet.shell("touch /home/seen; hostname", login["InstanceId"])
    assert mounted.strip() == f"ip-{login['PrivateIpAddress'].replace('.', '-')}"
    assert fleet.shell("ls /home/seen") == "/home/seen\n"
    assert fleet.user("scontrol show config | grep MaxArraySize").split()[-1] == "5000"


def test_custom_actions_have_run_where_they_belong(fleet: Fleet) -> None:
    lines = fleet.shell("cat /home/actions").splitlines()
    head = fleet.shell("hostname").strip()
    assert f"configured ran on {head} as root" in lines
    assert "a 'b' ran on gpu-st-p5-1 as root" in lines
    group = fleet.aws.call("logs", "DescribeLogGroups", logGroupNamePrefix="/aws/parallelcluster/")["logGroups"][0]
    name = group["logGroupName"]
    streams = fleet.aws.call("logs", "DescribeLogStreams", logGroupName=name)["logStreams"]
    stream = next(each["logStreamName"] for each in streams if each["logStreamName"].endswith(".cfn-init"))
    events = fleet.aws.call("logs", "GetLogEvents", logGroupName=name, logStreamName=stream)["events"]
    assert f"configured ran on {head} as root" in [event["message"] for event in events]


def test_files_of_a_lustre_that_the_cluster_made_come_from_s3_and_go_there(fleet: Fleet) -> None:
    assert fleet.shell("cat /own/my/action.sh") == SCRIPT
    fleet.shell("srun -p gpu sh -c 'hostname >/own/my/made'")

    def exported() -> str:
        try:
            found = fleet.aws.call("s3", "GetObject", Bucket=fleet.inputs.bucket, Key="my/made")
        except NotFound:
            return ""
        return str(found["Body"].read().decode())

    assert eventually(exported) == "gpu-st-p5-1\n"


def test_a_dynamic_node_comes_when_a_job_needs_it_and_goes(fleet: Fleet) -> None:
    assert fleet.user("srun -p spot -w spot-dy-c-1 hostname") == "spot-dy-c-1"
    instance = next(i for i in fleet.instances("Compute").values() if i.get("InstanceLifecycle") == "spot")
    assert instance["InstanceType"] == "c7i.large"
    assert fleet.shell("hostname", instance["InstanceId"]).strip() == "spot-dy-c-1"
    eventually(lambda: fleet.states("spot")["spot-dy-c-1"] == "idle")
    fleet.shell("scontrol update NodeName=spot-dy-c-1 State=POWER_DOWN")
    eventually(lambda: fleet.states("spot")["spot-dy-c-1"] == "idle~")
    assert instance["InstanceId"] not in fleet.instances("Compute")


def test_a_machine_learns_from_its_metadata_service_who_it_is(fleet: Fleet) -> None:
    ask = """
    imds=http://169.254.169.254/latest
    curl -s -o /dev/null -w '%{http_code}\\n' $imds/meta-data/instance-id
    curl -s -o /dev/null -w '%{http_code}\\n' -X PUT $imds/api/token
    token=$(curl -fs -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
    of() { curl -fs -H "X-aws-ec2-metadata-token: $token" $imds/$1; echo; }
    of meta-data/instance-id; of meta-data/placement/region; of meta-data/instance-life-cycle
    of meta-data/spot/instance-action; of meta-data/ | paste -sd ' '; of dynamic/instance-identity/document
    """
    (instance,) = [i for i in fleet.instances("Compute").values() if i["InstanceType"] == "p5.48xlarge"]
    first, second, identity, region, cycle, action, listed, document = fleet.shell(ask, instance["InstanceId"]).split(
        "\n", 7
    )
    assert (first, second) == ("401", "400")
    assert (identity, region, cycle, action) == (instance["InstanceId"], "us-east-1", "on-demand", "")
    assert listed.split()[:3] == ["ami-id", "instance-id", "instance-life-cycle"]
    told = json.loads(document)
    assert (told["instanceId"], told["privateIp"]) == (instance["InstanceId"], instance["PrivateIpAddress"])
    with pytest.raises(NotFound, match="is no Spot Instance"):
        fleet.cloud.interrupt("gpu-st-p5-1", seconds=1)


SAVING = """
for ((step = $(cat "$PCINFRA_CHECKPOINTS/step" 2>/dev/null || echo 1); step <= 10; step++)); do
  echo "attempt $PCINFRA_ATTEMPT step $step on $SLURMD_NODENAME"
  until [ -e "$PCINFRA_STOP_FILE" ] || [ "$PCINFRA_ATTEMPT$step" != 05 ]; do sleep 0.2; done
  [ ! -e "$PCINFRA_STOP_FILE" ] || { echo "$step" >"$PCINFRA_CHECKPOINTS/step"; exit; }
done
echo >"$PCINFRA_DONE_FILE"
"""


def test_a_spot_instance_is_taken_with_notice_and_its_job_saves_and_goes_on(fleet: Fleet) -> None:
    """EC2 says so in the metadata service; the job writes a checkpoint, waits until the node is gone, and goes on."""
    head = SsmHeadNode(fleet.aws, next(iter(fleet.instances("HeadNode"))), "", runs="/home/ubuntu/runs")
    launcher = SlurmLauncher(head)
    spec = JobSpec(command=("bash", "-c", SAVING), queue="spot", requeue=1, grace_period=30)
    made = render(spec, new_run_id("spot"), spot=True)
    fleet.user("srun -p spot -N 2 hostname")  # Slurm lets a batch job wait for nodes that have just been started
    launcher.submit(made)
    waits = eventually(lambda: [c for c in launcher.look(made.run, {}).chunks if b"step 5" in c.data], 120)
    fleet.cloud.interrupt(waits[0].node, seconds=None)
    address = fleet.shell(f"scontrol show node -o {waits[0].node} | grep -o 'NodeAddr=[^ ]*'").strip().partition("=")[2]
    (taken,) = [i for i, each in fleet.instances("Compute").items() if each["PrivateIpAddress"] == address]
    eventually(lambda: "EC2 may soon take" in launcher.look(made.run).status.why)
    fleet.cloud.interrupt(waits[0].node, seconds=20)
    eventually(lambda: "it waits until that is over" in launcher.look(made.run).status.why)
    assert taken in fleet.instances("Compute"), "it has until its notice is over"
    eventually(lambda: taken not in fleet.instances("Compute"))
    eventually(lambda: launcher.look(made.run).status.state.ended, 180)
    look = launcher.look(made.run, {})
    assert (look.status.state, len(look.status.attempts)) == (State.DONE, 2), look.status
    assert look.status.attempts[0].why == f"EC2 takes the node {waits[0].node} away"
    log = b"".join(chunk.data for chunk in look.chunks).decode()
    assert re.findall(r"attempt 1 step (\d+)", log) == ["5", "6", "7", "8", "9", "10"]
    eventually(lambda: fleet.states("spot")[waits[0].node] in ("idle", "idle~"))


def test_without_capacity_a_node_is_down_with_the_reason_and_its_job_waits(fleet: Fleet) -> None:
    fleet.cloud.limit("c7i.large", 0)
    try:
        job = fleet.user("sbatch --parsable -p spot -w spot-dy-c-3 -o /dev/null --wrap true")
        reason = eventually(lambda: fleet.shell("sinfo -h -R -n spot-dy-c-3 -o %E").strip())
    finally:
        fleet.cloud.limit("c7i.large", None)
    assert reason == "(Code:InsufficientInstanceCapacity)Failure when resuming nodes"
    assert fleet.job(job).startswith("PENDING")
    fleet.shell(f"scancel {job}")


def test_a_node_that_dies_is_replaced_and_its_job_starts_again(fleet: Fleet) -> None:
    before = fleet.instances("Compute")
    script = shlex.quote("echo started $SLURM_RESTART_COUNT >> /home/ubuntu/log; sleep 300")
    job = fleet.user(f"sbatch --parsable -p gpu -w gpu-st-p5-1 --requeue -o /dev/null --wrap {script}")
    eventually(lambda: fleet.job(job) == "RUNNING gpu-st-p5-1")
    eventually(lambda: "started" in fleet.shell("cat /home/ubuntu/log"))
    assert fleet.cloud.fail_node("gpu-st-p5-1") == NAME
    eventually(lambda: "started 1" in fleet.shell("cat /home/ubuntu/log"))
    now = fleet.instances("Compute")
    dead = [each for each in before.values() if each["InstanceType"] == "p5.48xlarge"]
    assert dead[0]["InstanceId"] not in now
    assert fleet.shell("cat /home/actions").count("ran on gpu-st-p5-1") >= 2, "a new machine boots anew"
    fleet.shell(f"scancel {job}")


def test_only_a_node_that_runs_can_be_failed(fleet: Fleet) -> None:
    for wrong in ("gpu-st-p5-9", "../fleet", "*", ""):
        with pytest.raises(NotFound, match="no machine of that name"):
            fleet.cloud.fail_node(wrong)
    with pytest.raises(NotFound):
        fleet.cloud.fail_node("gpu-st-p5-1", cluster="*")


def test_what_machines_ask_is_taken_with_caution(fleet: Fleet) -> None:
    url = fleet.cloud.ensure().url
    for path, body in (("clusters/nix/resume", b""), ("clusters/fleet/format", b""), ("capacity/c7i.large", b"many")):
        with pytest.raises(OSError, match="404"):
            urllib.request.urlopen(f"{url}/_pcinfra/{path}", data=body, timeout=60)
    before = fleet.instances("Compute")
    asked = b"gpu-st-p5-1\nip-10-0-0-1\nspot-dy-c-99\n$(reboot)"
    urllib.request.urlopen(f"{url}/_pcinfra/clusters/{NAME}/suspend", data=asked, timeout=60).close()
    urllib.request.urlopen(f"{url}/_pcinfra/clusters/{NAME}/resume", data=asked, timeout=60).close()
    assert fleet.instances("Compute").keys() == before.keys()


def test_an_update_adds_a_queue_while_a_job_runs(fleet: Fleet) -> None:
    eventually(lambda: fleet.states("gpu")["gpu-st-p5-1"] == "idle")
    job = fleet.user("sbatch --parsable -p gpu -w gpu-st-p5-1 -o /dev/null --wrap 'sleep 300'")
    eventually(lambda: fleet.job(job) == "RUNNING gpu-st-p5-1")
    config = fleet.config()
    queue = {**config["Scheduling"]["SlurmQueues"][1], "Name": "more"}
    queue["ComputeResources"] = [{**queue["ComputeResources"][0], "MinCount": 1}]
    config["Scheduling"]["SlurmQueues"].append(queue)
    config["LoginNodes"]["Pools"][0]["Count"] = 2
    fleet.pcluster.update(NAME, yaml.safe_dump(config))
    assert fleet.settle() == "UPDATE_COMPLETE", fleet.failures()
    assert fleet.states("more") == {"more-st-c-1": "idle", "more-dy-c-1": "idle~", "more-dy-c-2": "idle~"}
    assert fleet.job(job) == "RUNNING gpu-st-p5-1"
    assert fleet.user("srun -p more hostname") == "more-st-c-1"
    assert len(eventually(lambda: fleet.instances("LoginNode"))) == 2
    fleet.shell(f"scancel {job}")


def test_nodes_that_fail_to_start_again_and_again_switch_their_queue_off(fleet: Fleet) -> None:
    setting = "protected_failure_count = 2"
    file = "/etc/parallelcluster/slurm_plugin/parallelcluster_clustermgtd.conf"
    eventually(lambda: "[clustermgtd]" in fleet.shell(f"cat {file}"))
    fleet.shell(f"echo {setting!r} >> {file}")
    job = fleet.user("sbatch --parsable -p bad -N 2 -o /dev/null --wrap true")
    eventually(lambda: fleet.pcluster.describe(NAME).fleet_status == "PROTECTED")
    active = dict(line.split() for line in fleet.user("sinfo -h -o '%R %a'").splitlines())
    assert (active["bad"], active["spot"]) == ("inactive", "up")
    eventually(lambda: fleet.user(f"squeue -h -j {job} -o %r") == "PartitionInactive")
    eventually(lambda: fleet.queues().count("bad") == 0)
    assert fleet.user("srun -p spot hostname").startswith("spot-dy-c-"), "the others go on"
    log = fleet.log(".clustermgtd")
    assert "Setting cluster into protected mode" in log
    assert "Placing bootstrap failure partitions to INACTIVE: ['bad']" in log
    assert "Failed to execute OnNodeConfigured script 1" in fleet.log(".bootstrap_error_msg", holding="script 1")
    assert "no such thing" in fleet.log(".cloud-init-output", holding="no such thing")

    fleet.shell(f"scancel {job}")
    fleet.pcluster.set_fleet(NAME, running=True)
    eventually(lambda: fleet.pcluster.describe(NAME).fleet_status == "RUNNING")
    assert fleet.user("sinfo -h -p bad -o %a | sort -u") == "up"


def test_a_fleet_that_is_stopped_has_no_machines_until_it_is_started(fleet: Fleet) -> None:
    fleet.pcluster.set_fleet(NAME, running=False)
    eventually(lambda: fleet.pcluster.describe(NAME).fleet_status == "STOPPED")
    assert fleet.instances("Compute") == {}
    assert fleet.user("sinfo -h -p gpu -o %a | sort -u") == "inactive"
    fleet.pcluster.set_fleet(NAME, running=True)
    eventually(lambda: fleet.pcluster.describe(NAME).fleet_status == "RUNNING")
    eventually(lambda: fleet.states("gpu")["gpu-st-p5-1"] == "idle")
    assert fleet.user("srun -p gpu hostname") == "gpu-st-p5-1"


def test_a_creation_that_fails_in_a_custom_action_says_so(fleet: Fleet) -> None:
    config = fleet.config("fail")
    del config["LoginNodes"], config["SharedStorage"]
    config["HeadNode"]["Networking"].pop("ElasticIp")
    config["Scheduling"]["SlurmQueues"] = config["Scheduling"]["SlurmQueues"][1:]
    fleet.pcluster.create("broken", yaml.safe_dump(config))
    assert fleet.settle("broken") == "CREATE_FAILED"
    assert any(
        "Failed to execute OnNodeConfigured script 1" in why and "return code: 3." in why
        for why in fleet.failures("broken")
    )
    head = fleet.aws.call(
        "ec2", "DescribeInstances", Filters=[{"Name": "tag:parallelcluster:cluster-name", "Values": ["broken"]}]
    )["Reservations"][0]["Instances"][0]["InstanceId"]
    assert "no such thing" in fleet.shell("cat /var/log/cfn-init.log", head), "its head node is there to look at"
    fleet.pcluster.delete("broken")
