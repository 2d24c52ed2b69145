"""Causes of failure that are known: what tells them, what they mean, and what to do. One entry, one cause.

Sources are the issue numbers of github.com/aws/aws-parallelcluster, ParallelCluster's user guide
("Troubleshooting"), EC2's API reference (error codes) and pcluster's own failure codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One known cause.

    Args:
        pattern: what a log or a reason contains when it is this; a regular expression, case ignored.
        means: what has happened, in a sentence.
        do: what to do, with ``{name}`` for the cluster's name.
    """

    id: str
    pattern: str
    means: str
    do: str


_ROOM = "another availability zone or instance type, a capacity reservation or block, or later again"
_AGAIN = "pcinfra cluster create {name}"

CAUSES: tuple[Cause, ...] = (
    Cause("capacity", r"InsufficientInstanceCapacity|InsufficientCapacity|not have sufficient .* capacity",
          "EC2 has no capacity for this instance type in this zone now",
          f"{_ROOM}; pcinfra doctor shows the zones that offer it"),
    Cause("reservation-full", r"ReservationCapacityExceeded|CapacityReservation\w*Exceeded|reservation .* not enough",
          "the capacity reservation has fewer free instances than the queue starts",
          "a lower min_nodes, or a larger reservation; what else runs in it: aws ec2 describe-capacity-reservations"),
    Cause("reservation-over", r"InvalidCapacityReservation(Id|State)|reservation .{0,60}(expired|cancelled|not active)|"
          r"capacity reservation .{0,60}does not exist",
          "the capacity reservation or block has not begun, is over, or does not exist (issue 6870)",
          "another capacity_reservation in pcinfra.yaml; pcinfra cluster show {name} shows its dates"),
    Cause("vcpu-limit", r"VcpuLimitExceeded|vCPU (capacity|limit)|InstanceLimitExceeded|MaxSpotInstanceCountExceeded",
          "the account's quota of vCPUs for this family is used up", "pcinfra doctor shows which quota and how much"),
    Cause("addresses", r"InsufficientFreeAddressesInSubnet|not enough (free )?(IP )?addresses",
          "the subnet has no free addresses left (a node with several network cards takes one for each)",
          "a larger private subnet in pcinfra.yaml, or fewer nodes"),
    Cause("denied", r"UnauthorizedOperation|not authorized to perform|AccessDenied|\(403\).{0,80}Object",
          "a role, of yours or of the nodes, may not do this call",
          "pcinfra iam-policy prints what you need; a permissions boundary or your organisation may forbid it"),
    Cause("download", r"Failed to download On\w+ script|\(404\).{0,80}Object",
          "the script of a custom action is not where the configuration says, or the node may not read it",
          f"pcinfra up --only scripts; then {_AGAIN}"),
    Cause("lustre-client", r"lustre.{0,80}(not mounted|must match|no such device)|Failed to mount FSX|FsxMountFailure",
          "a file system could not be mounted: the Lustre client must match the kernel, and the security group must be "
          "the file system's",
          "pcinfra cluster logs {name} custom-actions; another os, or no kernel upgrade in a script of yours"),
    Cause("home-mount", r"Failed to mount (EBS|EFS|RAID)|(Ebs|Efs|Raid)MountFailure|mount\.nfs",
          "shared storage could not be mounted", "pcinfra status; its security group must let the nodes in"),
    Cause("gpu-check", r"(dcgm|gpu).{0,40}health.?check.{0,60}(fail|timed? ?out)|Xid \(?|NVLink.{0,40}(inactive|error)",
          "a GPU or its links failed their check (issue 6777)",
          "terminate the instance, and a new one takes its place: aws ec2 terminate-instances --instance-ids ID"),
    Cause("static-nodes", r"PROTECTED mode|StaticNodeBootstrapFailure|protected state",
          "nodes failed to start again and again, so that the head node gave up",
          "pcinfra cluster logs {name} custom-actions --node all; mend the cause, then pcinfra cluster start {name}"),
    Cause("timeout", r"WaitCondition timed out|did not receive .* signal|HeadNodeBootstrapTimeout",
          "the head node did not report in time (issues 3604, 3939): mostly no way to the internet, or slow scripts",
          "the subnet's route to its NAT gateway: pcinfra status; pcinfra cluster logs {name} cfn-init"),
    Cause("ami", r"was not baked by ParallelCluster|This AMI was created with|AmiVersionMismatch|InvalidAmi",
          "the custom image was not made for this version of ParallelCluster",
          "pcluster build-image, or the official image"),
    Cause("custom-action", r"Failed to (execute|run) On\w+ script|On\w+ExecutionFailure",
          "a script of a custom action ended with an error",
          f"mend the script; pcinfra up --only scripts where it is one of pcinfra's; then {_AGAIN}"),
    Cause("network-out", r"Could not resolve host|Connection timed out|Network is unreachable|failure in name res",
          "a node cannot reach the internet or an AWS endpoint", "pcinfra status: the NAT gateway and its route"),
    Cause("disk-full", r"No space left on device", "a disk of a node is full",
          "a larger head_node.volume, or less in /tmp and /var; /lustre and /scratch are for data"),
    Cause("memory", r"Out of memory|oom-kill", "a node ran out of memory", "a larger head_node.instance_type"),
    Cause("delete-role", r"must detach all policies|Cannot delete entity|DeleteConflict",
          "a policy was attached to a role of the cluster by hand (issue 4031)",
          "detach it in IAM, then pcinfra cluster delete {name}"),
    Cause("delete-network", r"DependencyViolation|has a dependent object|is currently in use",
          "something outside the cluster uses its network or security group",
          "the network interfaces that are left: aws ec2 describe-network-interfaces; then the same command again"),
)  # fmt: skip


def matching(texts: Iterable[str]) -> list[Cause]:
    """Return the known causes that ``texts`` speak of, in the order of the list."""
    whole = "\n".join(texts)
    return [cause for cause in CAUSES if re.search(cause.pattern, whole, re.IGNORECASE)]
