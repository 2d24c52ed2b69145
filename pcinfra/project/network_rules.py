"""What must hold in the network of ``pcinfra.yaml``: ranges, sizes, and what is adopted. Pure; see :mod:`.rules`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from pcinfra.project import sizes
from pcinfra.project.fields import PRIVATE_RANGES, SHARED_RANGE
from pcinfra.project.model import Project
from pcinfra.project.positions import Finding, KeyPath
from pcinfra.stacks import regions

_FIRST: KeyPath = ("prerequisites", "vpc_cidr")
_SECOND: KeyPath = ("prerequisites", "private_cidr")
_LUSTRE: KeyPath = ("prerequisites", "lustre")
_OPENZFS: KeyPath = ("prerequisites", "openzfs")
_ADOPT: KeyPath = ("prerequisites", "adopt")
_ZONES = ("availability_zone", "secondary_availability_zone")


def adopted_whole(project: Project) -> Iterator[Finding]:
    """A network is adopted as a whole, and nothing else can be reached without it."""
    adopt = project.prerequisites.adopt
    network = {name: getattr(adopt, name) for name in ("vpc", "public_subnet", "private_subnet")}
    others = {name: getattr(adopt, name) for name in ("security_group", "lustre", "openzfs_volume")}
    given = [name for name, value in (network | others).items() if value]
    missing = [name for name, value in network.items() if not value]
    if given and missing:
        also = tuple((*_ADOPT, name) for name in network)
        yield Finding((*_ADOPT, given[0]), f"needs {' and '.join(missing)} beside it", f"{missing[0]}: ...", also)
    if adopt.public_subnet and adopt.public_subnet == adopt.private_subnet:
        why = f"{adopt.private_subnet} is the public subnet already"
        also = ((*_ADOPT, "public_subnet"),)
        yield Finding((*_ADOPT, "private_subnet"), why, "a subnet behind a NAT gateway", also)


def adopted_unchanged(project: Project) -> Iterator[Finding]:
    """Nothing is made in the network of an adopted VPC."""
    pre, path = project.prerequisites, ("prerequisites",)
    if not pre.adopt.vpc:
        return
    also = ((*_ADOPT, "vpc"),)
    for name in ("ecr_endpoints", "ssm_endpoints"):
        if getattr(pre, name):
            yield Finding((*path, name), "no endpoint is made in an adopted VPC", f"{name}: false", also)
    if pre.flow_logs_bucket:
        why = "no flow log is made for an adopted VPC"
        yield Finding((*path, "flow_logs_bucket"), why, "flow_logs_bucket: null", also)
    if project.secondary_availability_zone != "auto":
        why = "no subnet is made in an adopted VPC"
        yield Finding((_ZONES[1],), why, "secondary_availability_zone: auto", also)
    elif pre.openzfs.deployment_type == "MULTI_AZ_1" and not pre.adopt.openzfs_volume:
        why = "MULTI_AZ_1 needs a second subnet, and none is made in an adopted VPC"
        hint = f"deployment_type: {regions.openzfs_choices(project.region, one_zone=True)[0]}"
        yield Finding((*_OPENZFS, "deployment_type"), why, hint, also)


def ranges_fit(project: Project) -> Iterator[Finding]:
    """Subnets lie inside their range of the VPC, and its two ranges are apart.

    Source: VPC user guide, "VPC CIDR blocks" and "Subnet CIDR blocks".
    """
    pre = project.prerequisites
    yield from _inside("public_subnet_cidr", pre.public_subnet_cidr, "vpc_cidr", pre.vpc_cidr)
    yield from _inside("private_subnet_cidr", pre.private_subnet_cidr, "private_cidr", pre.private_cidr)
    if IPv4Network(pre.vpc_cidr).overlaps(IPv4Network(pre.private_cidr)):
        why = f"{pre.private_cidr} overlaps vpc_cidr ({pre.vpc_cidr})"
        yield Finding(_SECOND, why, "choose two ranges that are apart", (_FIRST,))
    yield from _same_family(pre.vpc_cidr, pre.private_cidr)


def _same_family(first: str, second: str) -> Iterator[Finding]:
    """A VPC's second range comes from the private range of its first, or from 100.64.0.0/10.

    Source: VPC user guide, "Add or remove a CIDR block", IPv4 CIDR block association restrictions.
    """
    mine, other = (_private_range(cidr) for cidr in (first, second))
    if other not in (mine, SHARED_RANGE):
        ranges = mine if mine == SHARED_RANGE else f"{mine} or {SHARED_RANGE}"
        hint = "private_cidr: 100.64.0.0/16, with private_subnet_cidr: 100.64.0.0/17"
        yield Finding(_SECOND, f"a VPC with {first} takes no second range outside of {ranges}", hint, (_FIRST,))


def _private_range(cidr: str) -> str:
    return next(private for private in PRIVATE_RANGES if IPv4Network(cidr).subnet_of(IPv4Network(private)))


def _inside(name: str, inner: str, outer_name: str, outer: str) -> Iterator[Finding]:
    if not IPv4Network(inner).subnet_of(IPv4Network(outer)):
        why = f"{inner} is not inside {outer_name} ({outer})"
        hint = f"{name}: {_first_half(outer)}"
        yield Finding(("prerequisites", name), why, hint, (("prerequisites", outer_name),))


def _first_half(outer: str) -> str:
    network = IPv4Network(outer)
    return str(network if network.prefixlen >= 28 else next(network.subnets()))


def second_subnet_fits(project: Project) -> Iterator[Finding]:
    """The second private subnet lies beside the first. Source: VPC user guide, "Subnet CIDR blocks"."""
    pre = project.prerequisites
    given = pre.secondary_private_subnet_cidr
    also: tuple[KeyPath, ...] = (_SECOND, ("prerequisites", "private_subnet_cidr"))
    path = ("prerequisites", "secondary_private_subnet_cidr")
    if given is not None:
        yield from _inside("secondary_private_subnet_cidr", given, "private_cidr", pre.private_cidr)
        if IPv4Network(given).overlaps(IPv4Network(pre.private_subnet_cidr)):
            beside = sizes.second_subnet(pre.private_cidr, pre.private_subnet_cidr)
            hint = f"secondary_private_subnet_cidr: {beside or 'null'}"
            yield Finding(path, f"{given} overlaps private_subnet_cidr ({pre.private_subnet_cidr})", hint, also)
    elif project.two_zones and not sizes.second_subnet(pre.private_cidr, pre.private_subnet_cidr):
        why = f"leaves no room in private_cidr ({pre.private_cidr}) for the private subnet of the second zone"
        hint = f"private_subnet_cidr: {_first_half(pre.private_cidr)}"
        yield Finding(("prerequisites", "private_subnet_cidr"), why, hint, (*also, _OPENZFS, (_ZONES[1],)))


def fleet_fits(project: Project) -> Iterator[Finding]:
    """The private subnet has an address for every node of every cluster; see :func:`pcinfra.project.sizes.addresses`.

    Source: VPC user guide, "Subnet sizing": five addresses of each subnet are AWS's.
    """
    pre = project.prerequisites
    needed, prefix = sizes.addresses(project), IPv4Network(pre.private_subnet_cidr).prefixlen
    if pre.adopt.vpc or needed <= sizes.usable(prefix):
        return  # the size of an adopted subnet is read from the account
    why = f"has {sizes.usable(prefix)} addresses, and nodes and file systems take up to {needed}"
    also: tuple[KeyPath, ...] = (("clusters",), _LUSTRE, _SECOND)
    yield Finding(("prerequisites", "private_subnet_cidr"), why, _larger_subnet(project, needed), also)


def _larger_subnet(project: Project, needed: int) -> str:
    pre = project.prerequisites
    prefix = sizes.prefix_for(needed)
    if prefix is None:
        return f"fewer nodes: the largest subnet, /{sizes.LARGEST}, has {sizes.usable(sizes.LARGEST)} addresses"
    wanted = IPv4Network((IPv4Network(pre.private_subnet_cidr).network_address, prefix), strict=False)
    if wanted.subnet_of(IPv4Network(pre.private_cidr)):
        return f"private_subnet_cidr: {wanted}"
    return f"private_subnet_cidr: {wanted}, with private_cidr: {wanted}"


RULES = (adopted_whole, adopted_unchanged, ranges_fit, second_subnet_fits, fleet_fits)
