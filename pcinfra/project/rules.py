"""What must hold between the values of ``pcinfra.yaml``. Each rule is pure and names its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcinfra.project import cluster_rules, network_rules, node_rules
from pcinfra.project.cluster_rules import MAX_CLUSTER_TAGS
from pcinfra.project.model import Lustre, OpenZFS, Project
from pcinfra.project.positions import Finding, KeyPath, Rule
from pcinfra.stacks import limits

_LUSTRE: KeyPath = ("prerequisites", "lustre")
_OPENZFS: KeyPath = ("prerequisites", "openzfs")
_ZONES = ("availability_zone", "secondary_availability_zone")
_RESERVED_PREFIXES = {"scripts/": "the bootstrap scripts", "parallelcluster/": "ParallelCluster"}


def zone_in_region(project: Project) -> Iterator[Finding]:
    """A zone's name is its region's name and a letter. Source: EC2 user guide, "Availability Zones"."""
    zones = {name: str(getattr(project, name)) for name in _ZONES}
    for name, zone in zones.items():
        if zone != "auto" and zone[:-1] != project.region:
            why = f"{zone} is not a zone of the region {project.region}"
            yield Finding((name,), why, f"{name}: auto", (("region",),))
    first, second = zones.values()
    if first == second != "auto":
        why = f"{second} is the first zone already"
        yield Finding(
            ("secondary_availability_zone",), why, "secondary_availability_zone: auto", tuple((z,) for z in zones)
        )


def tag_keys_differ(project: Project) -> Iterator[Finding]:
    """Some services treat keys that differ in case as one. Source: IAM user guide, "Tags for IAM resources"."""
    seen: dict[str, str] = {}
    for key in project.tags:
        other = seen.setdefault(key.lower(), key)
        if other != key:
            yield Finding(("tags", key), f"differs from {other} in capital letters only", "keep one of them")


def tags_leave_room(project: Project) -> Iterator[Finding]:
    """A cluster's resources carry the project's tags and two of pcinfra, at most 40 together.

    Source: ParallelCluster 3.16.1, ComputeResourceTagsValidator and MAX_TAGS_COUNT.
    """
    most = MAX_CLUSTER_TAGS - len(project.tags_for("cluster")) + len(project.tags)
    if project.clusters and len(project.tags) > most:
        why = f"has {len(project.tags)} tags; ParallelCluster takes {most} besides those of pcinfra"
        yield Finding(("tags",), why, f"at most {most} tags", (("clusters",),))


def arns_belong(project: Project) -> Iterator[Finding]:
    """A key encrypts in its own region; both ARNs are of the region's partition.

    Source: KMS developer guide, "Key identifiers (KeyId)"; IAM user guide, "Amazon Resource Names (ARNs)".
    """
    for name, arn in (("kms_key", project.kms_key), ("permissions_boundary", project.permissions_boundary)):
        _, partition, _, region, *_ = (arn or "").split(":") if arn else ("", project.partition, "", "")
        if region not in ("", project.region):
            why = f"is a key of {region}, not of {project.region}"
            yield Finding((name,), why, f"a key of {project.region}", (("region",),))
        elif partition != project.partition:
            why = f"is of the partition {partition}, not of {project.partition}"
            yield Finding((name,), why, f"an ARN that begins with arn:{project.partition}:", (("region",),))


def lustre(project: Project) -> Iterator[Finding]:
    """FSx's rules for Lustre file systems; see :mod:`pcinfra.stacks.limits`."""
    fs = project.prerequisites.lustre
    kind = (*_LUSTRE, "deployment_type")
    storage = limits.lustre_storage_problem(fs.deployment_type, fs.storage_type)
    if storage:
        yield Finding((*_LUSTRE, "storage_type"), storage, "storage_type: SSD", (kind,))
        return
    yield from _lustre_size(fs)
    why = limits.lustre_version_problem(fs.deployment_type, fs.version)
    if why is None and project.associations:
        why = limits.lustre_association_problem(fs.deployment_type, fs.version)
    if why:
        yield Finding((*_LUSTRE, "version"), why, 'version: "2.15"', (kind,))
    yield from _lustre_extras(fs)


def _lustre_size(fs: Lustre) -> Iterator[Finding]:
    also = tuple((*_LUSTRE, name) for name in ("deployment_type", "storage_type"))
    why = limits.lustre_throughput_problem(fs.deployment_type, fs.throughput, fs.storage_type)
    if why:
        yield Finding((*_LUSTRE, "throughput"), why, _throughput_hint(fs), also)
        if fs.storage_type == "HDD":
            return  # the size depends on it
    why = limits.lustre_capacity_problem(fs.deployment_type, fs.capacity, fs.throughput, fs.storage_type)
    if why is None and fs.efa and limits.lustre_has_metadata(fs.deployment_type, fs.version):
        why = limits.lustre_efa_problem(fs.deployment_type, fs.capacity, fs.throughput, fs.version)
        also = (*also, (*_LUSTRE, "efa"), (*_LUSTRE, "throughput"))
    if why:
        size = limits.lustre_next_capacity(fs.capacity, fs.throughput, fs.storage_type, efa=fs.efa)
        yield Finding((*_LUSTRE, "capacity"), why, f"capacity: {size}", also)


def _lustre_extras(fs: Lustre) -> Iterator[Finding]:
    also = tuple((*_LUSTRE, name) for name in ("deployment_type", "version"))
    why = limits.lustre_metadata_problem(fs.deployment_type, fs.version, fs.metadata_iops)
    if why and fs.metadata_iops is not None:
        possible = limits.lustre_has_metadata(fs.deployment_type, fs.version)
        near = _nearest_number(fs.metadata_iops, limits.LUSTRE_METADATA_IOPS) if possible else "null"
        yield Finding((*_LUSTRE, "metadata_iops"), why, f"metadata_iops: {near}", also)
    if fs.efa and not limits.lustre_has_metadata(fs.deployment_type, fs.version):
        why = limits.lustre_efa_problem(fs.deployment_type, fs.capacity, fs.throughput, fs.version)
        yield Finding((*_LUSTRE, "efa"), why or "", "efa: false", also)
    if fs.drive_cache == "READ" and fs.storage_type != "HDD":
        why = "a cache in front of the disks exists with storage_type HDD only"
        yield Finding((*_LUSTRE, "drive_cache"), why, "drive_cache: NONE", ((*_LUSTRE, "storage_type"),))


def _throughput_hint(fs: Lustre) -> str:
    allowed = limits.lustre_throughputs(fs.deployment_type, fs.storage_type)
    wanted = _nearest_number(fs.throughput or 250, allowed) if allowed else "null"
    return f"throughput: {wanted}"


def _nearest_number(wanted: int, allowed: Iterable[int]) -> int:
    return min(allowed, key=lambda value: (abs(value - wanted), -value))


def openzfs(project: Project) -> Iterator[Finding]:
    """FSx's rules for OpenZFS file systems; see :mod:`pcinfra.stacks.limits`."""
    fs: OpenZFS = project.prerequisites.openzfs
    kind = project.openzfs_deployment_type
    why = limits.openzfs_throughput_problem(kind, fs.throughput)
    if why:
        near = _nearest_number(fs.throughput, limits.OPENZFS_THROUGHPUT[kind])
        also: tuple[KeyPath, ...] = ((*_OPENZFS, "deployment_type"),)
        also += (("region",),) if fs.deployment_type == "auto" else ()
        yield Finding((*_OPENZFS, "throughput"), why, f"throughput: {near}", also)
    why = limits.openzfs_capacity_problem(fs.capacity)
    if why:
        near = min(max(fs.capacity, limits.OPENZFS_MIN_CAPACITY), limits.OPENZFS_MAX_CAPACITY)
        yield Finding((*_OPENZFS, "capacity"), why, f"capacity: {near}")


def association_paths(project: Project) -> Iterator[Finding]:
    """Directories neither equal nor contain each other; ``/`` stands alone.

    Source: FSx API reference, CreateDataRepositoryAssociation, FileSystemPath.
    """
    for name, other in _pairs(project):
        mine, theirs = project.associations[name].path, project.associations[other].path
        why = _overlap(mine.rstrip("/") + "/", theirs.rstrip("/") + "/", mine, theirs, other)
        if why:
            also = (("associations", other, "path"),)
            yield Finding(("associations", name, "path"), why, "give every association a directory of its own", also)


def association_prefixes(project: Project) -> Iterator[Finding]:
    """Prefixes neither equal nor contain each other, and leave the bucket's own prefixes alone.

    FSx refuses equal ones (CreateDataRepositoryAssociation, DataRepositoryPath); nested ones would import and
    export the same files twice.
    """
    for name, other in _pairs(project):
        mine, theirs = project.associations[name].prefix, project.associations[other].prefix
        why = _overlap(mine, theirs, mine, theirs, other)
        if why:
            also = (("associations", other, "prefix"),)
            yield Finding(("associations", name, "prefix"), why, "give every association a prefix of its own", also)
    for name, association in project.associations.items():
        for prefix, owner in _RESERVED_PREFIXES.items():
            if association.prefix.startswith(prefix):
                why = f"{prefix} in the bucket belongs to {owner}"
                yield Finding(("associations", name, "prefix"), why, f"prefix: {name}/")


def _pairs(project: Project) -> Iterator[tuple[str, str]]:
    """Yield each association with every one before it in the file."""
    names = list(project.associations)
    return ((name, other) for index, name in enumerate(names) for other in names[:index])


def _overlap(mine: str, theirs: str, shown: str, other_shown: str, other: str) -> str:
    if mine == theirs:
        return f"{shown} is also in association {other}"
    if mine.startswith(theirs):
        return f"{shown} is inside {other_shown} of association {other}"
    if theirs.startswith(mine):
        return f"{shown} contains {other_shown} of association {other}"
    return ""


def association_events(project: Project) -> Iterator[Finding]:
    """An event stands once in a set. Source: FSx API reference, AutoImportPolicy and AutoExportPolicy, Events."""
    for name, association in project.associations.items():
        for key, events in (("auto_import", association.auto_import), ("auto_export", association.auto_export)):
            unique = list(dict.fromkeys(events))
            if len(unique) != len(events):
                hint = f"{key}: [{', '.join(unique)}]"
                yield Finding(("associations", name, key), "has an event twice", hint)


def repositories_differ(project: Project) -> Iterator[Finding]:
    """Each image has a repository of its own: its life cycle keeps the newest images, whatever they are of."""
    seen: dict[str, str] = {}
    for name, image in project.images.items():
        other = seen.setdefault(image.repository, name)
        if other != name:
            also = (("images", other, "repository"),)
            why = f"{image.repository} is also the repository of image {other}"
            yield Finding(("images", name, "repository"), why, f"repository: {name}", also)


RULES: tuple[Rule[Project], ...] = (
    zone_in_region,
    tag_keys_differ,
    tags_leave_room,
    arns_belong,
    lustre,
    openzfs,
    *network_rules.RULES,
    association_paths,
    association_prefixes,
    association_events,
    repositories_differ,
    *cluster_rules.RULES,
    *node_rules.RULES,
)
