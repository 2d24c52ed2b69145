"""What happens to a cluster's machines when CloudFormation, EC2 and SSM say so. EC2, S3 and the rest are moto's."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcinfra.errors import NotFound
from pcinfra.localcloud.slurm import fleet
from tests.local.slurm.clusters import config
from tests.local.slurm.machine import processes_about

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

from pcinfra.localcloud.cfn.hooks import MadeResource, StackDeleted, WaitCondition  # noqa: E402
from pcinfra.localcloud.headnode import HeadNodes  # noqa: E402
from pcinfra.localcloud.machines import SetupFailed  # noqa: E402

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("_root")]

NAME, REGION, ACCOUNT = "train", "us-east-1", "123456789012"
BUCKET, GROUP = "artifacts", "/aws/parallelcluster/train"


@functools.cache
def client_of(service: str) -> Any:
    return boto3.client(service, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")


class Stack:
    """The part of a cluster's stack that its head node needs."""

    def __init__(self) -> None:
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/20")["Subnet"]["SubnetId"]
        self.image = ec2.describe_images()["Images"][0]["ImageId"]
        for name in ("p5", "spare"):
            data = {"ImageId": self.image, "InstanceType": "p5.48xlarge"}
            ec2.create_launch_template(LaunchTemplateName=f"{NAME}-gpu-{name}", LaunchTemplateData=data)
        self.head = self._run_head()
        self.client("s3").create_bucket(Bucket=BUCKET)
        self.client("logs").create_log_group(logGroupName=GROUP)
        for table in (f"parallelcluster-{NAME}", f"parallelcluster-slurm-{NAME}"):
            self.client("dynamodb").create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def _run_head(self) -> dict[str, Any]:
        answer = self.client("ec2").run_instances(
            ImageId=self.image, InstanceType="m5.8xlarge", SubnetId=self.subnet, MinCount=1, MaxCount=1
        )
        head: dict[str, Any] = answer["Instances"][0]
        return head

    def client(self, service: str) -> Any:
        return client_of(service)

    def configure(self, nodes: int, **changes: Any) -> None:
        """Store the configuration where ParallelCluster does."""
        content = config(nodes) | changes
        content["Scheduling"]["SlurmQueues"][0]["Networking"]["SubnetIds"] = [self.subnet]
        key = "parallelcluster/train/configs/cluster-config-with-implied-values.yaml"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=yaml.safe_dump(content))

    def condition(self, cancelled: Callable[[], bool] = lambda: False) -> WaitCondition:
        head = MadeResource(self.head["InstanceId"], {"PrivateIp": self.head["PrivateIpAddress"]})
        parameters: dict[str, str | list[str]] = {
            "ResourcesS3Bucket": BUCKET,
            "ArtifactS3RootDirectory": "parallelcluster/train",
            "ClusterCWLogGroup": GROUP,
        }
        return WaitCondition(
            stack_name=NAME,
            stack_id="arn",
            logical_id="HeadNodeWaitCondition20260101",
            account=ACCOUNT,
            region=REGION,
            parameters=parameters,
            timeout=1800,
            resource={"HeadNode": head}.__getitem__,
            client=self.client,
            cancelled=cancelled,
        )

    def compute(self) -> dict[str, dict[str, Any]]:
        """Return the running compute instances by id."""
        wanted = [
            {"Name": "tag:parallelcluster:node-type", "Values": ["Compute"]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        answer = self.client("ec2").describe_instances(Filters=wanted)
        return {i["InstanceId"]: i for r in answer["Reservations"] for i in r["Instances"]}

    def table(self, name: str) -> dict[str, dict[str, Any]]:
        return {item["Id"]["S"]: item for item in self.client("dynamodb").scan(TableName=name)["Items"]}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with moto.mock_aws():
        yield Stack()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def heads(stack: Stack, tmp_path: Path, port: int) -> Iterator[HeadNodes]:
    made = HeadNodes(tmp_path, lambda service, _region: stack.client(service), lambda: port)
    yield made
    made.stop_all()
    assert processes_about(tmp_path) == []


def test_a_cluster_is_set_up_as_its_configuration_says(stack: Stack, heads: HeadNodes, port: int) -> None:
    stack.configure(2)
    signal = heads.wait_condition(stack.condition())
    head = stack.head["InstanceId"]
    assert list(signal) == [head]

    compute = stack.compute()
    assert len(compute) == 2
    tags = {tag["Key"]: tag["Value"] for tag in next(iter(compute.values()))["Tags"]}
    assert (tags["Name"], tags["parallelcluster:cluster-name"]) == ("Compute", NAME)
    assert (tags["parallelcluster:queue-name"], tags["parallelcluster:compute-resource-name"]) == ("gpu", "p5")

    nodes = stack.table(f"parallelcluster-slurm-{NAME}")
    assert {nodes[f"gpu-st-p5-{number}"]["InstanceId"]["S"] for number in (1, 2)} == set(compute)
    status = stack.table(f"parallelcluster-{NAME}")["COMPUTE_FLEET"]["Data"]["M"]["status"]["S"]
    assert status == "RUNNING"
    streams = stack.client("logs").describe_log_streams(logGroupName=GROUP)["logStreams"]
    dashed = stack.head["PrivateIpAddress"].replace(".", "-")
    assert f"ip-{dashed}.{head}.slurmctld" in {stream["logStreamName"] for stream in streams}

    script = "srun -N2 bash -c 'hostname -I 2>/dev/null || hostname'"
    status_, stdout, stderr = heads.run_command(
        head, ["#!/bin/bash", f"su - ubuntu -c {json.dumps(script)}"], timeout=60
    )
    assert (status_, stderr) == (0, "")
    assert len(stdout.split()) == 2
    environment = heads.run_command(head, ["printenv AWS_ENDPOINT_URL", "pwd"], working_directory="/lustre")
    assert environment == (0, f"http://127.0.0.1:{port}\n/lustre\n", "")
    some_node = next(iter(compute))
    assert heads.run_command(some_node, ["hostname"])[1].startswith("gpu-st-p5-")


def test_an_update_launches_and_ends_nodes_and_keeps_files(stack: Stack, heads: HeadNodes) -> None:
    stack.configure(2)
    heads.wait_condition(stack.condition())
    head, before = stack.head["InstanceId"], stack.compute()
    heads.run_command(head, ["touch /lustre/kept", "su - ubuntu -c 'sbatch --hold --job-name=waits --wrap true'"])
    stack.configure(3)
    heads.wait_condition(stack.condition())
    assert set(before) < set(stack.compute())
    states = "sinfo -h -N -o '%N %T'; ls /lustre; squeue -h -o '%j %T'"
    assert heads.run_command(head, [states])[1].splitlines() == [
        *(f"gpu-st-p5-{number} idle" for number in (1, 2, 3)), "kept", "waits PENDING",
    ]  # fmt: skip

    third = next(iter(set(stack.compute()) - set(before)))
    heads.run_command(third, ["touch /scratch/of-the-third"])
    stack.configure(1)
    heads.wait_condition(stack.condition())
    assert len(stack.compute()) == 1
    assert set(stack.table(f"parallelcluster-slurm-{NAME}")) == {"gpu-st-p5-1"}
    assert heads.run_command(head, ["sinfo -h -N -o '%N %T'"])[1] == "gpu-st-p5-1 idle\n"

    stack.configure(3)
    heads.wait_condition(stack.condition())
    for instance in stack.compute():
        assert heads.run_command(instance, ["ls /scratch"])[1] == "", "a new machine has an empty disk"


def test_a_terminated_compute_instance_ends_its_node_alone(stack: Stack, heads: HeadNodes) -> None:
    stack.configure(2)
    heads.wait_condition(stack.condition())
    first, second = stack.compute()
    stack.client("ec2").terminate_instances(InstanceIds=[first])
    heads.terminated([first, "i-of-somebody-else"])
    assert not heads.reaches(first)
    assert heads.reaches(second)
    assert heads.reaches(stack.head["InstanceId"])
    heads.stop_all()
    heads.start_all()
    assert not heads.reaches(first), "its instance is gone"
    assert heads.run_command(second, ["true"]) == (0, "", "")


def test_with_its_head_node_a_cluster_ends(stack: Stack, heads: HeadNodes, tmp_path: Path) -> None:
    stack.configure(2)
    heads.wait_condition(stack.condition())
    stack.client("ec2").terminate_instances(InstanceIds=[stack.head["InstanceId"]])
    heads.terminated([stack.head["InstanceId"]])
    assert processes_about(tmp_path) == []
    heads.start_all()
    assert processes_about(tmp_path) == []
    with pytest.raises(NotFound):
        heads.run_command(stack.head["InstanceId"], ["true"])


def test_a_deleted_stack_takes_everything_but_file_systems_of_its_own(
    stack: Stack, heads: HeadNodes, tmp_path: Path
) -> None:
    storage = [
        {"MountDir": "/lustre", "StorageType": "FsxLustre", "FsxLustreSettings": {"FileSystemId": "fs-0123"}},
        {"MountDir": "/home", "StorageType": "FsxOpenZfs", "FsxOpenZfsSettings": {"VolumeId": "fsvol-0123"}},
        {"MountDir": "/made", "StorageType": "Ebs"},
    ]
    stack.configure(1, SharedStorage=storage)
    heads.wait_condition(stack.condition())
    head = stack.head["InstanceId"]
    assert (
        heads.run_command(head, ["touch /lustre/a /home/b /made/c; mountpoint -q /lustre && mountpoint -q /home"])[0]
        == 0
    )
    heads.stack_deleted(StackDeleted("another", "arn", ACCOUNT, REGION))
    assert heads.reaches(head)
    heads.stack_deleted(StackDeleted(NAME, "arn", ACCOUNT, REGION))
    assert processes_about(tmp_path) == []
    assert not (tmp_path / "clusters" / NAME).exists()
    assert (heads.file_system("fs-0123") / "a").exists()
    assert (heads.file_system("fsvol-0123") / "b").exists()


def test_clusters_come_back_with_the_local_cloud_on_its_new_port(
    stack: Stack, heads: HeadNodes, tmp_path: Path
) -> None:
    stack.configure(1)
    heads.wait_condition(stack.condition())
    head = stack.head["InstanceId"]
    heads.run_command(head, ["touch /lustre/kept"])
    heads.stop_all()
    assert not heads.reaches(head)
    again = HeadNodes(tmp_path, lambda service, _region: stack.client(service), lambda: 4567)
    again.start_all()
    assert again.run_command(head, ["ls /lustre; printenv AWS_ENDPOINT_URL"])[1] == "kept\nhttp://127.0.0.1:4567\n"


def test_a_command_that_takes_too_long_is_killed(stack: Stack, heads: HeadNodes) -> None:
    stack.configure(0)
    heads.wait_condition(stack.condition())
    with pytest.raises(TimeoutError):
        heads.run_command(stack.head["InstanceId"], ["sleep 4714"], timeout=0.3)
    running = heads.start_script(stack.head["InstanceId"], "sleep 4714")
    running.cancel()
    ended = running.wait(10)
    assert ended is not None
    assert ended.status == 137


def test_a_cluster_that_does_not_come_up_fails_with_words_of_parallelcluster(stack: Stack, heads: HeadNodes) -> None:
    content = config(1)["Scheduling"]
    content["SlurmSettings"] = {"CustomSlurmSettings": [{"NoSuchOption": 1}]}
    stack.configure(1, Scheduling=content)
    with pytest.raises(SetupFailed) as caught:
        heads.wait_condition(stack.condition())
    text = str(caught.value)
    assert text.startswith("WaitCondition received failed message: 'Failed to run chef recipe ")
    assert "NoSuchOption" in text
    assert text.endswith(f"for uniqueId: {stack.head['InstanceId']}")
    assert not heads.reaches(stack.head["InstanceId"])


def test_nodes_that_cannot_be_had_fail_the_cluster_and_leave_no_instance(stack: Stack, heads: HeadNodes) -> None:
    content = config(1)["Scheduling"]
    content["SlurmQueues"][0]["ComputeResources"][0]["Name"] = "spare"
    more = {"Name": "absent", "InstanceType": "p5.48xlarge", "MinCount": 1, "MaxCount": 1}
    content["SlurmQueues"][0]["ComputeResources"].append(more)
    stack.configure(1, Scheduling=content)
    with pytest.raises(SetupFailed, match="PROTECTED mode due to failures detected in static node provisioning"):
        heads.wait_condition(stack.condition())
    assert stack.compute() == {}


def test_a_setup_that_was_given_up_starts_nothing(stack: Stack, heads: HeadNodes, tmp_path: Path) -> None:
    stack.configure(1)
    with pytest.raises(SetupFailed):
        heads.wait_condition(stack.condition(cancelled=lambda: True))
    assert processes_about(tmp_path) == []


def test_the_failures_are_those_that_pcluster_tells_apart() -> None:
    resources = pytest.importorskip("pcluster.models.cluster_resources", reason="aws-parallelcluster is not installed")
    source = Path(resources.__file__).read_text()
    assert '"Failed to run chef recipe"' in source
    assert "Cluster has been set to PROTECTED mode due to failures detected in static node provisioning" in source


def test_a_cluster_whose_daemons_were_killed_comes_back(stack: Stack, heads: HeadNodes, tmp_path: Path) -> None:
    stack.configure(1)
    heads.wait_condition(stack.condition())
    from pcinfra.localcloud.slurm.paths import Paths

    for record in fleet.records(Paths(tmp_path / "clusters" / NAME)).values():
        record.supervisor.kill()
    heads.start_all()
    assert heads.run_command(stack.head["InstanceId"], ["sinfo -h -o %T"])[1] == "idle\n"
