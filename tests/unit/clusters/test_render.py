"""The rendered configuration: golden, right for pcluster's own schema, and closed to hostile values."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra import assets
from pcinfra.clusters.findings import errors
from pcinfra.clusters.inputs import ClusterInputs, inputs_from_outputs
from pcinfra.clusters.render import render
from pcinfra.clusters.validate import validate
from pcinfra.errors import NotFound, UsageError
from pcinfra.project import SHAPES, Accounting, Cluster, HeadNodeSettings, Monitoring, Project, Queue

GOLDEN = Path(__file__).parents[2] / "golden" / "clusters"
RESERVATION = "cr-0123456789abcdef0"


def queue(instance_type: str, **values: Any) -> Queue:
    return Queue.model_construct(**{**Queue().model_dump(), "instance_type": instance_type, **values})


def cluster(*queues: Queue, **values: Any) -> Cluster:
    return Cluster.model_construct(**{**dict(Cluster()), "queues": queues, **values})


def config(given_cluster: Cluster, inputs: ClusterInputs) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(render("train", given_cluster, inputs))
    return loaded


def compute(given_queue: Queue, inputs: ClusterInputs) -> dict[str, Any]:
    found: dict[str, Any] = config(cluster(given_queue), inputs)["Scheduling"]["SlurmQueues"][0]
    return found


@pytest.mark.parametrize("version", ["3.14.0", "3.15.1", "3.16.1"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_golden_for_every_version(shape: str, version: str, inputs: ClusterInputs) -> None:
    path = GOLDEN / version / f"{shape}.yaml"
    text = render("train", Cluster.model_validate({"shape": shape, "pcluster_version": version}), inputs)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


OPTIONS = {
    "shape": "cpu",
    "imds": {"version": "v1.0", "secured": False},
    "monitoring": {"exporters": True},
    "hooks": {"prolog": ["s3://parallelcluster-123456789012-us-east-1/checks/a.sh", "s3://other-bucket/b.sh"],
              "epilog": ["s3://other-bucket/b.sh"]},
    "directory_service": {"DomainName": "corp.example.com", "DomainAddr": "ldaps://corp.example.com",
                          "PasswordSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ad-AbCdEf",
                          "DomainReadOnlyUser": "cn=ReadOnly,dc=corp", "GenerateSshKeysForUsers": True,
                          "AdditionalSssdConfigs": {"debug_level": "0x1ff"}},
    "tags": {"team": "ml"},
}  # fmt: skip


def test_options_are_golden(inputs: ClusterInputs) -> None:
    path = GOLDEN / "options.yaml"
    text = render("train", Project.model_validate_json(json.dumps({"clusters": {"t": OPTIONS}})).clusters["t"], inputs)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    assert errors(validate("train", text, "us-east-1")) == []


ULTRASERVER = queue("p6e-gb200.36xlarge", capacity_type="CAPACITY_BLOCK", capacity_reservation=RESERVATION,
                    min_nodes=18, max_nodes=18)  # fmt: skip


def test_only_nodes_with_gpus_serve_dcgm(inputs: ClusterInputs) -> None:
    queues = (queue("p5.48xlarge", name="gpu"), queue("c7i.large", name="cpu", min_nodes=0))
    both = cluster(*queues, monitoring=Monitoring(dcgm=True))
    asked = {each["Name"]: "--dcgm" in each["CustomActions"]["OnNodeConfigured"]["Args"]
             for each in config(both, inputs)["Scheduling"]["SlurmQueues"]}  # fmt: skip
    assert asked == {"gpu": True, "cpu": False}
    assert "--dcgm" not in config(both, inputs)["HeadNode"]["CustomActions"]["OnNodeConfigured"]["Args"]


def test_an_ultraserver_is_golden(inputs: ClusterInputs) -> None:
    path = GOLDEN / "ultraserver.yaml"
    text = render("train", cluster(ULTRASERVER, shape="capacity-block"), inputs)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    assert errors(validate("train", text, "us-east-1")) == []


def test_every_shape_has_its_template_and_every_template_its_shape() -> None:
    assert {path.name for path in assets.folder("cluster-configs").glob("*.j2")} == {f"{s}.yaml.j2" for s in SHAPES}


VARIANTS = [
    queue("p5.48xlarge"),
    queue("p5en.48xlarge", capacity_type="CAPACITY_BLOCK", capacity_reservation=RESERVATION),
    queue("p4d.24xlarge", capacity_reservation=RESERVATION),
    queue("g5.12xlarge", min_nodes=0, max_nodes=4, capacity_type="SPOT"),
    queue("c7i.large", min_nodes=0, max_nodes=10),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.instance_type)
@pytest.mark.parametrize("system", ["ubuntu2204", "ubuntu2404", "alinux2023"])
def test_pclusters_schema_accepts_every_variant(variant: Queue, system: str, inputs: ClusterInputs) -> None:
    assert errors(validate("train", render("train", cluster(variant, os=system), inputs), "us-east-1")) == []


def test_pclusters_schema_accepts_many_queues(inputs: ClusterInputs) -> None:
    queues = [queue("p5.48xlarge", name=f"q{number}") for number in range(50)]
    assert errors(validate("train", render("train", cluster(*queues), inputs), "us-east-1")) == []


def test_a_permissions_boundary_bounds_every_role(inputs: ClusterInputs) -> None:
    arn = "arn:aws:iam::123456789012:policy/boundary"
    text = render("train", cluster(Queue()), replace(inputs, permissions_boundary=arn))
    assert yaml.safe_load(text)["Iam"] == {"PermissionsBoundary": arn}
    assert errors(validate("train", text, "us-east-1")) == []
    assert "Iam" not in config(cluster(Queue()), inputs)


@pytest.mark.parametrize(
    ("variant", "efa", "group", "exclusive", "scratch"),
    [
        (VARIANTS[0], True, True, True, True),
        (VARIANTS[1], True, False, True, True),
        (VARIANTS[2], True, False, True, True),
        (VARIANTS[3], True, True, True, True),
        (VARIANTS[4], False, False, False, False),
    ],
    ids=["ondemand", "capacity block", "reservation", "spot", "no efa"],
)
def test_what_follows_from_a_queue(
    variant: Queue, efa: bool, group: bool, exclusive: bool, scratch: bool, inputs: ClusterInputs
) -> None:
    found = compute(variant, inputs)
    assert found["ComputeResources"][0]["Efa"]["Enabled"] is efa
    assert found["Networking"]["PlacementGroup"]["Enabled"] is group
    assert found["JobExclusiveAllocation"] is exclusive
    assert ("EphemeralVolume" in found["ComputeSettings"]["LocalStorage"]) is scratch


def test_a_reservation_is_ondemand_with_a_target(inputs: ClusterInputs) -> None:
    found = compute(VARIANTS[2], inputs)
    assert found["CapacityType"] == "ONDEMAND"
    assert found["ComputeResources"][0]["CapacityReservationTarget"] == {"CapacityReservationId": RESERVATION}


def test_no_reservation_is_no_target(inputs: ClusterInputs) -> None:
    assert "CapacityReservationTarget" not in compute(VARIANTS[0], inputs)["ComputeResources"][0]


def test_large_gpu_nodes_get_more_time_and_the_head_node_more_than_they(inputs: ClusterInputs) -> None:
    def timeouts(given_queue: Queue) -> tuple[int, int]:
        found = config(cluster(given_queue), inputs)["DevSettings"]["Timeouts"]
        return found["HeadNodeBootstrapTimeout"], found["ComputeNodeBootstrapTimeout"]

    assert timeouts(VARIANTS[0]) == (3600, 2400)
    assert timeouts(VARIANTS[4]) == (2100, 2100)


def test_no_key_no_open_port_no_public_address(inputs: ClusterInputs) -> None:
    found = config(cluster(Queue()), inputs)
    head = found["HeadNode"]
    assert "Ssh" not in head
    assert head["Networking"] == {"SubnetId": inputs.private_subnet, "SecurityGroups": [inputs.security_group]}
    assert found["Imds"] == {"ImdsSupport": "v2.0"}


def test_nodes_may_read_the_projects_bucket_and_write_nowhere(inputs: ClusterInputs) -> None:
    found = config(cluster(Queue(), Queue(name="second")), inputs)
    nodes = [found["HeadNode"], *found["Scheduling"]["SlurmQueues"]]
    assert [node["Iam"]["S3Access"] for node in nodes] == [[{"BucketName": inputs.bucket}]] * 3
    assert [node["Iam"]["AdditionalIamPolicies"] for node in nodes] == [[{"Policy": inputs.node_policy}]] * 3


def test_with_a_stack_made_by_hand_nodes_have_policies_of_aws(outputs: dict[str, str], project: Project) -> None:
    del outputs["NodePolicy"]
    found = config(cluster(Queue()), inputs_from_outputs(outputs, project, "123456789012"))
    for node in (found["HeadNode"], found["Scheduling"]["SlurmQueues"][0]):
        policies = [policy["Policy"].partition("policy/")[2] for policy in node["Iam"]["AdditionalIamPolicies"]]
        assert policies == ["AmazonSSMManagedInstanceCore", "AmazonEC2ContainerRegistryPullOnly"]


def managed(project: Project, **values: Any) -> tuple[Project, Cluster]:
    """Return a project with a cluster that keeps its history in the project's own database, and the cluster."""
    one = cluster(Queue(), accounting=Accounting(managed=True, **values))
    return project.model_copy(update={"clusters": {"train": one}}), one


def test_the_projects_own_database_is_reached_from_the_head_node_only(
    project: Project, outputs: dict[str, str]
) -> None:
    with_database, one = managed(project, database_name="history")
    found = config(one, inputs_from_outputs(outputs, with_database, "123456789012"))
    assert found["Scheduling"]["SlurmSettings"]["Database"] == {
        "Uri": outputs["DatabaseUri"],
        "UserName": "slurm",
        "PasswordSecretArn": outputs["DatabaseSecret"],
        "DatabaseName": "history",
    }
    groups = [outputs["SecurityGroup"], outputs["DatabaseClientGroup"]]
    assert found["HeadNode"]["Networking"]["SecurityGroups"] == groups
    assert found["Scheduling"]["SlurmQueues"][0]["Networking"]["SecurityGroups"] == groups[:1]


def test_the_projects_own_database_says_why(project: Project, outputs: dict[str, str]) -> None:
    with_database, one = managed(project)
    text = render("train", one, inputs_from_outputs(outputs, with_database, "123456789012"))
    (uri,) = [line for line in text.splitlines() if "Uri:" in line]
    assert "  # the project's own: TLS only" in uri
    assert errors(validate("train", text, "us-east-1")) == []


@pytest.mark.parametrize("missing", ["DatabaseUri", "DatabaseClientGroup"])
def test_a_stack_without_the_database_that_a_cluster_wants_is_not_complete(
    missing: str, outputs: dict[str, str], project: Project
) -> None:
    del outputs[missing]
    with pytest.raises(NotFound, match=f"no output {missing}"):
        inputs_from_outputs(outputs, managed(project)[0], "123456789012")
    assert inputs_from_outputs(outputs, project, "123456789012").database is None


def test_custom_actions_name_scripts_that_exist_and_arguments_that_they_take(inputs: ClusterInputs) -> None:
    found = config(cluster(Queue()), inputs)
    for node in (found["HeadNode"], found["Scheduling"]["SlurmQueues"][0]):
        action = node["CustomActions"]["OnNodeConfigured"]
        script = assets.folder("bootstrap") / action["Script"].rpartition("/")[2]
        assert all(argument in script.read_text() for argument in action["Args"] if argument.startswith("--"))


@pytest.mark.parametrize(
    ("given_queue", "expected"),
    [
        (queue("p5.48xlarge"), {"--gpus": "8", "--efa": "32"}),
        (queue("p5.48xlarge", efa=False), {"--gpus": "8"}),
        (queue("g5.12xlarge", other_instance_types=("g6.12xlarge",)), {}),
        (queue("c7i.large"), {}),
    ],
    ids=["gpus and efa", "efa off", "several types", "neither"],
)
def test_a_node_is_told_what_it_must_have(given_queue: Queue, expected: dict[str, str], inputs: ClusterInputs) -> None:
    told = compute(given_queue, inputs)["CustomActions"]["OnNodeConfigured"]["Args"]
    pairs = dict(zip(told[::2], told[1::2], strict=True))
    assert {name: value for name, value in pairs.items() if name in ("--gpus", "--efa")} == expected


def test_custom_slurm_settings_are_none_that_pcluster_denies(inputs: ClusterInputs) -> None:
    from pcluster.validators.slurm_settings_validator import SLURM_SETTINGS_DENY_LIST

    denied = {name for names in SLURM_SETTINGS_DENY_LIST["SlurmConf"].values() for name in names}
    settings_ = config(cluster(Queue()), inputs)["Scheduling"]["SlurmSettings"]["CustomSlurmSettings"]
    assert not denied & {key.lower() for setting in settings_ for key in setting}


def test_tags_are_the_projects_own_and_by_them_it_is_found_again(outputs: dict[str, str]) -> None:
    tagged = Project.model_construct(**{**dict(Project()), "tags": {"team": "no: 1"}})
    found = config(cluster(Queue()), inputs_from_outputs(outputs, tagged, "123456789012"))
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert tags == {"team": "no: 1", "pcinfra:project": "training", "pcinfra:stage": "cluster"}


def test_every_derived_value_says_why(inputs: ClusterInputs) -> None:
    lines = render("train", cluster(VARIANTS[3], VARIANTS[4]), inputs).splitlines()
    keys = (
        "JobExclusiveAllocation",
        "Enabled: true  #",
        "HeadNodeBootstrapTimeout",
        "ScaledownIdletime",
        "MountDir: /scratch",
    )
    for key in keys:
        assert any(key in line and "  # " in line for line in lines), key
    assert "HeadNode:" in lines


HOSTILE = st.text(st.characters(), max_size=30) | st.sampled_from(
    [
        "a\nRegion: evil",
        "x: y",
        "]",
        "}",
        "{{ inputs }}",
        "{% raw %}",
        "# c",
        "!!python/object:os.system",
        "*x",
        "\x85",
        "\u2028",
        "\ud800",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE, min_size=6, max_size=6))
def test_hostile_values_cannot_change_the_structure(inputs: ClusterInputs, values: list[str]) -> None:
    harmless = cluster(queue("p5.48xlarge", capacity_reservation="r"))
    hostile = cluster(queue("p5.48xlarge", name=values[0], capacity_reservation=values[1]), os=values[2])
    attacked = replace(inputs, bucket=values[3], lustre_id=values[4], tags={values[5]: values[0]})
    expected = shape_of(config(harmless, replace(inputs, tags={"k": "v"})))
    found = config(hostile, attacked)
    assert shape_of(found) == expected
    assert found["Scheduling"]["SlurmQueues"][0]["Name"] == values[0]
    assert found["Tags"] == [{"Key": values[5], "Value": values[0]}]


def shape_of(node: Any) -> Any:
    """Return ``node`` with every scalar replaced by its type."""
    if isinstance(node, dict):
        return {key: shape_of(value) for key, value in node.items()}
    return [shape_of(value) for value in node] if isinstance(node, list) else type(node)


def test_an_unknown_type_is_refused_with_its_place_and_the_nearest(inputs: ClusterInputs) -> None:
    with pytest.raises(UsageError) as caught:
        render("train", cluster(Queue(), queue("p5.48xlrage")), inputs)
    assert caught.value.where == "clusters.train.queues[1].instance_type"
    assert "p5.48xlarge" in caught.value.hint


def test_an_unknown_head_node_type_is_refused(inputs: ClusterInputs) -> None:
    head = HeadNodeSettings.model_construct(instance_type="m5.huge", volume=100)
    with pytest.raises(UsageError, match=r"clusters\.train\.head_node\.instance_type"):
        render("train", cluster(Queue(), head_node=head), inputs)


def test_mixed_architectures_are_refused(inputs: ClusterInputs) -> None:
    with pytest.raises(UsageError, match=r"c7g\.large is arm64") as caught:
        render("train", cluster(Queue(), queue("c7g.large")), inputs)
    assert caught.value.where == "clusters.train.queues[1].instance_type"


def test_an_unknown_shape_is_refused_with_those_there_are(inputs: ClusterInputs) -> None:
    with pytest.raises(UsageError) as caught:
        render("train", cluster(Queue(), shape="gpu"), inputs)
    assert caught.value.hint == "gpu-efa or cpu or mixed or capacity-block or minimal"


@pytest.mark.parametrize("missing", ["SecurityGroup", "FSxORootVolumeId"])
def test_a_stack_without_an_output_is_not_complete(missing: str, outputs: dict[str, str], project: Project) -> None:
    del outputs[missing]
    with pytest.raises(NotFound, match=missing):
        inputs_from_outputs(outputs, project, "123456789012")


@pytest.mark.parametrize(
    ("region", "partition", "registry"),
    [
        ("us-east-1", "aws", "1.dkr.ecr.us-east-1.amazonaws.com"),
        ("cn-north-1", "aws-cn", "1.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "1.dkr.ecr.us-gov-west-1.amazonaws.com"),
    ],
)
def test_partitions(region: str, partition: str, registry: str, outputs: dict[str, str]) -> None:
    elsewhere = Project.model_construct(**{**dict(Project()), "region": region})
    found = inputs_from_outputs(outputs, elsewhere, "1")
    assert (found.partition, found.registry) == (partition, registry)
