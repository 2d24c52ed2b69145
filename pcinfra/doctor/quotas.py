"""Whether the account's quotas leave room for what the project describes.

Sources of the codes: Service Quotas, services ec2 and vpc. Source of what counts: EC2 user guide, "On-Demand Instance
quotas" (vCPUs by family) and "Capacity Blocks for ML" (their instances do not count).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pcinfra.doctor.model import Line, failure, ok, warning
from pcinfra.errors import NotFound

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project

TAG = "tag:pcinfra:project"

# Family of instance types -> code of its vCPU quota, on demand and spot. Everything else is "standard".
VCPUS = {
    "p": ("L-417A185B", "L-7212CCBC"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "vt": ("L-DB2E81BA", "L-3819A6DF"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "dl": ("L-6E869C2A", "L-85EED4F7"),
    "x": ("L-7295265B", "L-E3A00192"),
    "hpc": ("L-F7808C92", ""),
}
STANDARD = ("L-1216C47A", "L-34B43A08")
NEW_P_SPOT = "L-C4BD4855"  # "All P5 Spot Instance Requests"; that of P is for P2, P3 and P4
ADDRESSES = ("ec2", "L-0263D0A3")
VPCS = ("vpc", "L-F678F1CE")


def vcpus(project: Project, doors: Doors) -> Iterator[Line]:
    """The vCPUs of every cluster with all its nodes up, by quota, on top of what others run in the account."""
    counts = _nodes(project)
    if not counts:
        return
    others = _others(project, doors)
    names = sorted({name for name, _ in [*counts, *others]})
    answer = doors.cloud.pages("ec2", "DescribeInstanceTypes", "InstanceTypes", InstanceTypes=names)
    each = {row["InstanceType"]: int(row["VCpuInfo"]["DefaultVCpus"]) for row in answer}
    needed, used = _by_quota(counts, each), _by_quota(others, each)
    for code, count in sorted(needed.items()):
        quota = _quota(doors, "ec2", code)
        yield _room(quota["QuotaName"], quota, count, used.get(code, 0), "vCPUs", project)


def _by_quota(counts: Mapping[tuple[str, bool], int], each: Mapping[str, int]) -> Mapping[str, int]:
    """Return the vCPUs of instances by the quota that they count against."""
    total: dict[str, int] = defaultdict(int)
    for (name, spot), number in counts.items():
        if code := quota_code(name, spot):
            total[code] += number * each[name]
    return total


def _others(project: Project, doors: Doors) -> Mapping[tuple[str, bool], int]:
    """Return the instances of each type that run and are not this project's, whose nodes are all counted anyway."""
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    mine = {"Key": TAG.removeprefix("tag:"), "Value": project.project}
    counts: dict[tuple[str, bool], int] = defaultdict(int)
    for reservation in doors.cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters):
        for row in reservation["Instances"]:
            lifecycle = row.get("InstanceLifecycle", "")
            if mine not in row.get("Tags", []) and lifecycle != "capacity-block":
                counts[row["InstanceType"], lifecycle == "spot"] += 1
    return counts


def _nodes(project: Project) -> Mapping[tuple[str, bool], int]:
    """Return the most instances of each type, on demand and spot apart; capacity blocks do not count."""
    nodes: dict[tuple[str, bool], int] = defaultdict(int)
    for cluster in project.clusters.values():
        nodes[cluster.head_node_type, False] += 1
        if cluster.login_nodes.count:
            nodes[cluster.login_node_choice[0], False] += cluster.login_nodes.count
        for queue in cluster.queues:
            if queue.capacity_type != "CAPACITY_BLOCK":
                nodes[queue.instance_type, queue.capacity_type == "SPOT"] += queue.max_nodes
    return nodes


def quota_code(instance_type: str, spot: bool) -> str:
    """Return the code of the vCPU quota that ``instance_type`` counts against; empty when there is none."""
    family = re.match(r"[a-z]+", instance_type)
    if spot and instance_type.startswith(("p5", "p6")):
        return NEW_P_SPOT
    return VCPUS.get(family[0] if family else "", STANDARD)[spot]


def addresses(project: Project, doors: Doors) -> Iterator[Line]:
    """One elastic address for the NAT gateway."""
    if project.prerequisites.adopt.vpc:
        return
    used = doors.cloud.call("ec2", "DescribeAddresses")["Addresses"]
    yield _one_more("elastic addresses", ADDRESSES, used, project, doors)


def vpcs(project: Project, doors: Doors) -> Iterator[Line]:
    if project.prerequisites.adopt.vpc:
        return
    used = doors.cloud.pages("ec2", "DescribeVpcs", "Vpcs")
    yield _one_more("VPCs", VPCS, used, project, doors)


def _one_more(what: str, code: tuple[str, str], used: list[Mapping[str, Any]], project: Project, doors: Doors) -> Line:
    mine = {"Key": TAG.removeprefix("tag:"), "Value": project.project}
    there = any(mine in row.get("Tags", []) for row in used)
    quota = _quota(doors, *code)
    return _room(what, quota, 0 if there else 1, len(used), "in use", project)


def storage(project: Project, doors: Doors) -> Iterator[Line]:
    """FSx counts capacity by kind of file system (FSx for Lustre and FSx for OpenZFS user guides, Quotas)."""
    listed = doors.cloud.pages("service-quotas", "ListServiceQuotas", "Quotas", ServiceCode="fsx")
    there = doors.cloud.pages("fsx", "DescribeFileSystems", "FileSystems")
    lustre, zfs, adopt = project.prerequisites.lustre, project.prerequisites.openzfs, project.prerequisites.adopt
    kind = _kind(lustre.deployment_type)
    wanted = (
        ("LUSTRE", "FSx for Lustre capacity", lustre.capacity, ("lustre", "storage capacity", kind)),
        ("OPENZFS", "FSx for OpenZFS capacity", zfs.capacity, ("openzfs", "storage capacity")),
    )
    adopted = {"LUSTRE": adopt.lustre, "OPENZFS": adopt.openzfs_volume}
    for service, what, capacity, words in wanted:
        if adopted[service]:
            continue
        quota = _named(listed, words)
        if quota is None:
            fix = f"aws service-quotas list-service-quotas --service-code fsx --region {project.region}"
            yield warning(what, f"not checked: no quota named like {' '.join(words)!r} is listed", fix)
            continue
        rows = [row for row in there if row["FileSystemType"] == service and _same_kind(row, kind)]
        mine = any({"Key": TAG.removeprefix("tag:"), "Value": project.project} in row.get("Tags", []) for row in rows)
        used = sum(int(row["StorageCapacity"]) for row in rows)
        yield _room(what, quota, 0 if mine else capacity, used, "GiB in use", project)


def _kind(deployment_type: str) -> str:
    """Return what the quotas call a deployment type of Lustre: ``persistent 2``, ``persistent 1`` or ``scratch``."""
    return "scratch" if deployment_type.startswith("SCRATCH") else deployment_type.replace("_", " ").lower()


def _same_kind(row: Mapping[str, Any], kind: str) -> bool:
    """Only file systems of Lustre are counted by deployment type."""
    configuration = row.get("LustreConfiguration")
    return configuration is None or _kind(configuration["DeploymentType"]) == kind


def _named(quotas: list[Mapping[str, Any]], words: tuple[str, ...]) -> Mapping[str, Any] | None:
    for quota in quotas:
        name = quota["QuotaName"].replace("_", " ").lower()
        if all(word in name for word in words):
            return quota
    return None


def _quota(doors: Doors, service: str, code: str) -> Mapping[str, Any]:
    """Return the quota that holds: the account's own, or AWS's default (Service Quotas API, GetServiceQuota)."""
    parameters = {"ServiceCode": service, "QuotaCode": code}
    try:
        answer = doors.cloud.call("service-quotas", "GetServiceQuota", **parameters)
    except NotFound:
        answer = doors.cloud.call("service-quotas", "GetAWSDefaultServiceQuota", **parameters)
    quota: Mapping[str, Any] = answer["Quota"]
    return quota


def _room(what: str, quota: Mapping[str, Any], needed: float, used: float, unit: str, project: Project) -> Line:
    """Compare what is needed on top of what is used with the quota."""
    value = float(quota["Value"])
    found = f"{used + needed:g} of {value:g} {unit}" if not used else f"{used:g} of {value:g} {unit}, {needed:g} more"
    if used + needed <= value:
        return ok(what, found)
    fix = (
        f"aws service-quotas request-service-quota-increase --region {project.region} --service-code "
        f"{quota['ServiceCode']} --quota-code {quota['QuotaCode']} --desired-value {used + needed:g}"
    )
    return failure(what, f"{found}: too few", fix)
