"""Each check on what it may find."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest

from pcinfra.aws import Target
from pcinfra.doctor import Line, account, belongings, capacity, machine, quotas
from pcinfra.doors import Doors
from pcinfra.errors import AccessDenied, CloudError, CredentialsError, NotFound
from pcinfra.project import Adopt, Cluster, Image, Lustre, Prerequisites, Project, Queue
from tests.unit.clusters.fakes import FakeCloud, FakeShell

RESERVATION = "cr-0123456789abcdef0"
NOW = datetime.now(UTC)


def doors(answers: Mapping[str, Any] | None = None, shell: FakeShell | None = None) -> Doors:
    return Doors(FakeCloud(answers or {}), shell or FakeShell(), Target("us-east-1"))


def raising(error: Exception) -> Any:
    def refuse(_: object) -> NoReturn:
        raise error

    return refuse


def said(lines: Any) -> list[tuple[str, str]]:
    return [(line.verdict.value, line.found) for line in lines]


def one(lines: Any) -> Line:
    (line,) = list(lines)
    assert isinstance(line, Line)
    return line


@pytest.mark.parametrize(
    ("programs", "answers", "verdict", "found"),
    [
        ((), [], "failure", "not installed"),
        (("node",), [(0, "v20.1.0\n")], "ok", "20.1.0"),
        (("node",), [(0, "v16.20.0\n")], "failure", "16.20.0; pcluster needs 18"),
        (("node",), [(0, "nonsense")], "failure", "nonsense"),
    ],
)
def test_node(programs: tuple[str, ...], answers: list[tuple[int, str]], verdict: str, found: str) -> None:
    line = one(machine.node(Project(), doors(shell=FakeShell(answers, programs))))
    assert line.verdict.value == verdict
    assert found in line.found


@pytest.mark.parametrize(
    ("wanted", "programs", "answers", "verdict", "found"),
    [
        ("auto", (), [], "ok", "codebuild builds in the account, because none runs here (docker: not installed;"),
        ("auto", ("docker",), [(0, "")], "ok", "docker runs"),
        ("auto", ("docker",), [(1, "Cannot connect")], "ok", "docker: Cannot connect"),
        ("auto", ("docker", "podman"), [(1, "Cannot connect"), (0, "")], "ok", "podman runs"),
        ("codebuild", (), [], "ok", "codebuild builds in the account"),
        ("podman", ("podman",), [(125, "")], "failure", "podman: exit status 125"),
        ("docker", (), [], "failure", "docker: not installed"),
    ],
)
def test_image_builder(
    wanted: Any, programs: tuple[str, ...], answers: list[tuple[int, str]], verdict: str, found: str
) -> None:
    line = one(machine.engine(Project(images={"a": Image(builder=wanted)}), doors(shell=FakeShell(answers, programs))))
    assert line.verdict.value == verdict
    assert found in line.found
    assert line.verdict == "ok" or "builder: auto" in line.fix


def test_the_plugin_of_session_manager_is_not_needed() -> None:
    line = one(machine.session_manager(Project(), doors()))
    assert (line.verdict, line.fix) == ("ok", "")
    assert "only where the account encrypts sessions" in line.found


@pytest.mark.parametrize(
    ("answer", "verdict", "found"),
    [
        ({"Arn": "arn:aws:iam::1:user/me"}, "ok", "user/me"),
        ({"Arn": "arn:aws:iam::1:root"}, "warning", "root user"),
        (raising(CredentialsError("expired", hint="aws sso login")), "failure", "expired"),
    ],
)
def test_identity(answer: Any, verdict: str, found: str) -> None:
    line = one(account.identity(Project(), doors({"GetCallerIdentity": answer})))
    assert (line.verdict.value, found in line.found) == (verdict, True)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"Regions": [{"OptInStatus": "opt-in-not-required"}]}, "ok"),
        ({"Regions": [{"OptInStatus": "not-opted-in"}]}, "failure"),
        (raising(CloudError("no", code="InvalidParameterValue")), "failure"),
    ],
)
def test_region(answer: Any, verdict: str) -> None:
    assert one(account.region(Project(), doors({"DescribeRegions": answer}))).verdict.value == verdict


def offers(**zones: str) -> dict[str, Any]:
    rows = [{"InstanceType": f"{k}.48xlarge" if k == "p5" else "m5.2xlarge", "Location": f"us-east-1{z}"}
            for k, letters in zones.items() for z in letters]  # fmt: skip
    return {"DescribeInstanceTypeOfferings": {"InstanceTypeOfferings": rows}}


@pytest.mark.parametrize(
    ("zone", "zones", "verdict", "found"),
    [
        ("auto", {"p5": "ab", "m5": "bc"}, "ok", "auto; every instance type: us-east-1b"),
        ("auto", {"p5": "a", "m5": "c"}, "failure", "no zone offers every instance type"),
        ("us-east-1c", {"p5": "ab", "m5": "bc"}, "failure", "us-east-1c does not offer"),
        ("us-east-1b", {"p5": "ab", "m5": "bc"}, "ok", "us-east-1b offers every"),
        ("auto", {"p5": "", "m5": "c"}, "failure", "nowhere in us-east-1"),
    ],
)
def test_offers(zone: str, zones: dict[str, str], verdict: str, found: str) -> None:
    last = list(capacity.offerings(Project(availability_zone=zone), doors(offers(**zones))))[-1]
    assert last.verdict.value == verdict
    assert found in last.found


def reserved(**fields: Any) -> dict[str, Any]:
    usual = {
        "CapacityReservationId": RESERVATION,
        "State": "active", "InstanceType": "p5.48xlarge", "AvailabilityZone": "us-east-1a", "TotalInstanceCount": 2,
        "AvailableInstanceCount": 2, "StartDate": NOW, "EndDate": NOW + timedelta(days=7),
    }  # fmt: skip
    return {"DescribeCapacityReservations": {"CapacityReservations": [usual | fields]}}


@pytest.mark.parametrize(
    ("fields", "verdict", "found"),
    [
        ({}, "ok", "2 of 2 p5.48xlarge free in us-east-1a, from"),
        ({"EndDate": None}, "ok", "from"),
        ({"State": "expired"}, "failure", "expired"),
        ({"State": "scheduled"}, "warning", "scheduled"),
        ({"InstanceType": "p5e.48xlarge"}, "failure", "is for p5e.48xlarge, the queue wants p5.48xlarge"),
        ({"AvailabilityZone": "us-east-1b"}, "failure", "is in us-east-1b"),
        ({"TotalInstanceCount": 1}, "failure", "start up to 2"),
        ({"EndDate": NOW + timedelta(hours=3)}, "warning", "ends soon"),
        ({"EndDate": NOW - timedelta(hours=3)}, "failure", "it is over"),
        ({"State": "unavailable"}, "failure", "unavailable"),
        ({"ReservationType": "capacity-block"}, "failure", "is a Capacity Block"),
        ({"InstancePlatform": "Windows"}, "failure", "Windows"),
    ],
)
def test_reservations(fields: dict[str, Any], verdict: str, found: str) -> None:
    queue = Queue(capacity_reservation=RESERVATION)
    project = Project(availability_zone="us-east-1a", clusters={"c": Cluster(queues=(queue,))})
    line = one(capacity.reservations(project, doors(reserved(**fields))))
    assert line.verdict.value == verdict
    assert found in line.found


def test_a_reservation_that_does_not_exist() -> None:
    project = Project(clusters={"c": Cluster(queues=(Queue(capacity_reservation=RESERVATION),))})
    error = CloudError("x", code="InvalidCapacityReservationId.NotFound")
    line = one(capacity.reservations(project, doors({"DescribeCapacityReservations": raising(error)})))
    assert line.verdict == "failure"


def quota(value: float, name: str = "some quota") -> dict[str, Any]:
    return {"Quota": {"Value": value, "QuotaName": name, "ServiceCode": "ec2", "QuotaCode": "L-1"}}


TYPES = {"DescribeInstanceTypes": {"InstanceTypes": [
    {"InstanceType": "p5.48xlarge", "VCpuInfo": {"DefaultVCpus": 192}},
    {"InstanceType": "m5.2xlarge", "VCpuInfo": {"DefaultVCpus": 8}},
]}, "DescribeInstances": {"Reservations": []}}  # fmt: skip


def test_vcpus_are_counted_by_quota_with_every_node_up() -> None:
    asked: list[str] = []

    def answer(parameters: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(parameters["QuotaCode"])
        return quota(192, parameters["QuotaCode"])

    lines = list(quotas.vcpus(Project(), doors({**TYPES, "GetServiceQuota": answer})))
    assert asked == ["L-1216C47A", "L-417A185B"]
    assert said(lines) == [("ok", "8 of 192 vCPUs"), ("failure", "384 of 192 vCPUs: too few")]
    assert lines[1].fix.endswith("--service-code ec2 --quota-code L-1 --desired-value 384")


def test_what_others_run_is_taken_from_the_quota() -> None:
    """Not the project's own nodes, which are counted when they do not run too, and no capacity blocks."""

    def machine_of(kind: str, lifecycle: str = "") -> dict[str, Any]:
        return {"InstanceType": kind, **({"InstanceLifecycle": lifecycle} if lifecycle else {})}

    running = [
        machine_of("p5.48xlarge"), machine_of("p5.48xlarge") | MINE, machine_of("p5.48xlarge", "spot"),
        machine_of("p5.48xlarge", "capacity-block"), machine_of("m5.2xlarge"),
    ]  # fmt: skip
    answers = {**TYPES, "DescribeInstances": {"Reservations": [{"Instances": running[:2]}, {"Instances": running[2:]}]}}
    lines = quotas.vcpus(Project(), doors({**answers, "GetServiceQuota": quota(576)}))
    assert said(lines) == [("ok", "8 of 576 vCPUs, 8 more"), ("ok", "192 of 576 vCPUs, 384 more")]


def test_capacity_blocks_count_against_no_quota() -> None:
    queue = Queue(capacity_type="CAPACITY_BLOCK", capacity_reservation=RESERVATION)
    project = Project(clusters={"c": Cluster(queues=(queue,))})
    lines = quotas.vcpus(project, doors({**TYPES, "GetServiceQuota": quota(32)}))
    assert said(lines) == [("ok", "8 of 32 vCPUs")]


@pytest.mark.parametrize(
    ("name", "spot", "code"),
    [
        ("p4d.24xlarge", True, "L-7212CCBC"),
        ("p5.48xlarge", True, "L-C4BD4855"),
        ("p6-b200.48xlarge", False, "L-417A185B"),
        ("g6e.xlarge", False, "L-DB2E81BA"),
        ("trn1.32xlarge", False, "L-2C3B7624"),
        ("hpc7a.96xlarge", False, "L-F7808C92"),
        ("hpc7a.96xlarge", True, ""),
        ("m7i.large", True, "L-34B43A08"),
    ],
)
def test_quota_codes(name: str, spot: bool, code: str) -> None:
    assert quotas.quota_code(name, spot) == code


MINE = {"Tags": [{"Key": "pcinfra:project", "Value": "training"}]}


@pytest.mark.parametrize(
    ("used", "verdict", "found"),
    [
        ([], "ok", "1 of 5 in use"),
        ([{}] * 5, "failure", "5 of 5 in use, 1 more: too few"),
        ([{}, {}, {}, {}, MINE], "ok", "5 of 5 in use, 0 more"),
    ],
)
def test_one_more_of_something(used: list[Any], verdict: str, found: str) -> None:
    vpcs = {"DescribeVpcs": {"Vpcs": used}, "GetServiceQuota": quota(5)}
    assert said(quotas.vpcs(Project(), doors(vpcs))) == [(verdict, found)]
    addresses = {"DescribeAddresses": {"Addresses": used}, "GetServiceQuota": quota(5)}
    assert said(quotas.addresses(Project(), doors(addresses))) == [(verdict, found)]


def test_what_is_adopted_needs_no_quota() -> None:
    network = {"vpc": "vpc-0123456789abcdef0", "public_subnet": "subnet-0123456789abcdef0",
               "private_subnet": "subnet-1123456789abcdef0"}  # fmt: skip
    adopt = Adopt(**network, lustre="fs-0123456789abcdef0", openzfs_volume="fsvol-0123456789abcdef0")
    project = Project(prerequisites=Prerequisites(adopt=adopt))
    listed: dict[str, Any] = {"ListServiceQuotas": {"Quotas": FSX}, "DescribeFileSystems": {"FileSystems": []}}
    for check in (quotas.addresses, quotas.vpcs, quotas.storage):
        assert list(check(project, doors(listed))) == []


def test_where_an_account_has_no_quota_of_its_own_the_default_holds() -> None:
    answers = {
        "DescribeVpcs": {"Vpcs": []},
        "GetServiceQuota": raising(NotFound("none", code="NoSuchResourceException")),
        "GetAWSDefaultServiceQuota": quota(5),
    }
    assert said(quotas.vpcs(Project(), doors(answers))) == [("ok", "1 of 5 in use")]


FSX = [
    {"QuotaName": name, "Value": 100800.0, "ServiceCode": "fsx", "QuotaCode": f"L-{number}"}
    for number, name in enumerate((
        "Lustre Persistent 2 file systems", "Lustre Persistent HDD storage capacity (per file system)",
        "Lustre Persistent 1 file storage capacity", "Lustre Persistent 2 file storage capacity",
        "Lustre Scratch storage capacity", "OpenZFS SSD storage capacity",
    ))
]  # fmt: skip


def file_system(kind: str, capacity: int, **more: Any) -> dict[str, Any]:
    configuration = {"LustreConfiguration": {"DeploymentType": kind}} if kind != "OPENZFS" else {}
    service = "OPENZFS" if kind == "OPENZFS" else "LUSTRE"
    return {"FileSystemType": service, "StorageCapacity": capacity, "Tags": [], **configuration, **more}


@pytest.mark.parametrize(
    ("there", "lustre", "expected"),
    [
        ([], Lustre(), [("ok", "1200 of 100800 GiB in use"), ("ok", "512 of 100800 GiB in use")]),
        (
            [file_system("PERSISTENT_2", 100000), file_system("SCRATCH_1", 9000), file_system("OPENZFS", 64)],
            Lustre(),
            [
                ("failure", "100000 of 100800 GiB in use, 1200 more: too few"),
                ("ok", "64 of 100800 GiB in use, 512 more"),
            ],
        ),
        (
            [file_system("SCRATCH_1", 99600), file_system("PERSISTENT_2", 100800)],
            Lustre(deployment_type="SCRATCH_2", throughput=None),
            [("ok", "99600 of 100800 GiB in use, 1200 more"), ("ok", "512 of 100800 GiB in use")],
        ),
        (
            [file_system("PERSISTENT_2", 100800, **MINE)],
            Lustre(),
            [("ok", "100800 of 100800 GiB in use, 0 more"), ("ok", "512 of 100800 GiB in use")],
        ),
    ],
)  # fmt: skip
def test_storage(there: list[Any], lustre: Lustre, expected: list[tuple[str, str]]) -> None:
    project = Project(prerequisites=Prerequisites(lustre=lustre))
    answers = {"ListServiceQuotas": {"Quotas": FSX}, "DescribeFileSystems": {"FileSystems": there}}
    assert said(quotas.storage(project, doors(answers))) == expected


def test_a_quota_that_is_not_listed_is_not_made_up() -> None:
    answers: dict[str, Any] = {"ListServiceQuotas": {"Quotas": []}, "DescribeFileSystems": {"FileSystems": []}}
    assert [line.verdict.value for line in quotas.storage(Project(), doors(answers))] == ["warning", "warning"]


def tags(owner: str) -> list[dict[str, str]]:
    return [{"Key": "pcinfra:project", "Value": owner}] if owner else []


@pytest.mark.parametrize(
    ("head", "tagging", "verdict", "found"),
    [
        (raising(NotFound("no", code="404")), None, "ok", "does not exist"),
        (raising(AccessDenied("no", code="403")), None, "failure", "belongs to somebody else"),
        ({}, {"TagSet": tags("training")}, "ok", "this project's"),
        ({}, {"TagSet": tags("other")}, "failure", "belongs to the project other"),
        ({}, {"TagSet": []}, "ok", "made by hand"),
        ({}, raising(NotFound("no", code="NoSuchTagSet")), "ok", "made by hand"),
    ],
)
def test_bucket(head: Any, tagging: Any, verdict: str, found: str) -> None:
    line = one(belongings.bucket(Project(), doors({"HeadBucket": head, "GetBucketTagging": tagging})))
    assert line.verdict.value == verdict
    assert found in line.found


def test_image() -> None:
    there = {
        "DescribeRepositories": {"repositories": [{"repositoryArn": "arn"}]},
        "ListTagsForResource": {"tags": tags("training")},
        "DescribeImages": {"imageDetails": [{"imageDigest": "sha256:0123456789abcdef", "imageSizeInBytes": 2e10}]},
    }
    found = said(belongings.images(Project(), doors(there)))
    assert found == [("ok", "exists, and is this project's"), ("ok", "sha256:0123456789ab, 20.0 GB")]
    missing = {**there, "DescribeImages": raising(NotFound("no", code="ImageNotFoundException"))}
    assert said(belongings.images(Project(), doors(missing)))[-1][0] == "warning"
    absent = {"DescribeRepositories": raising(NotFound("no", code="RepositoryNotFoundException"))}
    assert one(belongings.images(Project(), doors(absent))).verdict == "ok"
