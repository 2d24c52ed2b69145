"""What Amazon FSx accepts. The only place that knows; the template's Rules and the project's validation read it.

Source of every number, unless said otherwise: FSx API reference, CreateFileSystem,
CreateFileSystemLustreConfiguration, CreateFileSystemLustreMetadataConfiguration and
CreateFileSystemOpenZFSConfiguration. Capacities are GiB, Lustre throughput is MB/s per TiB, OpenZFS
throughput is MB/s.

Every ``*_problem`` function returns None, or one sentence: what is wrong and what is possible instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MIN_CAPACITY_UNITS, MAX_CAPACITY_UNITS = 0.5, 128.0
"""Of Aurora Serverless v2 (RDS API reference, ServerlessV2ScalingConfiguration), in steps of 0.5. Some releases have 0,
which pauses; a server that slurmdbd is connected to never does."""
MAX_DATABASE_BACKUP_DAYS = 35
"""Source: RDS API reference, CreateDBCluster, BackupRetentionPeriod: 1 to 35."""

LUSTRE_DEPLOYMENTS = ("SCRATCH_1", "SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2")
LUSTRE_STORAGE_TYPES = ("SSD", "HDD")
LUSTRE_DRIVE_CACHES = ("READ", "NONE")
LUSTRE_COMPRESSIONS = ("LZ4", "NONE")
LUSTRE_VERSIONS = ("2.10", "2.12", "2.15")

LUSTRE_SSD_THROUGHPUT: Mapping[str, tuple[int, ...]] = {
    "SCRATCH_1": (),
    "SCRATCH_2": (),
    "PERSISTENT_1": (50, 100, 200),
    "PERSISTENT_2": (125, 250, 500, 1000),
}
LUSTRE_HDD_STEP: Mapping[int, int] = {12: 6000, 40: 1800}
"""Capacity comes in these steps on HDD, by throughput."""
LUSTRE_METADATA_IOPS = (1500, 3000, 6000, *range(12000, 192001, 12000))
LUSTRE_EFA_STEP: Mapping[int, int] = {125: 38400, 250: 19200, 500: 9600, 1000: 4800}
"""Capacity comes in these steps with EFA, by throughput. Source: FSx for Lustre user guide, Managing storage
capacity."""

ASSOCIATION_VERSIONS = ("2.12", "2.15")
"""Lustre versions that data repository associations work with. Source: CreateDataRepositoryAssociation."""
ASSOCIATION_DEPLOYMENTS = ("SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2")
"""Deployment types that data repository associations work with. Source: CreateDataRepositoryAssociation."""

OPENZFS_MIN_CAPACITY = 64
OPENZFS_MAX_CAPACITY = 524288
_OPENZFS_FIRST = (64, 128, 256, 512, 1024, 2048, 3072, 4096)
_OPENZFS_SECOND = (160, 320, 640, 1280, 2560, 3840, 5120, 7680, 10240)
OPENZFS_THROUGHPUT: Mapping[str, tuple[int, ...]] = {
    "SINGLE_AZ_1": _OPENZFS_FIRST,
    "SINGLE_AZ_HA_1": _OPENZFS_FIRST,
    "SINGLE_AZ_2": _OPENZFS_SECOND,
    "SINGLE_AZ_HA_2": _OPENZFS_SECOND,
    "MULTI_AZ_1": _OPENZFS_SECOND,
}
OPENZFS_DEPLOYMENTS = tuple(OPENZFS_THROUGHPUT)
MAX_BACKUP_RETENTION_DAYS = 90


def lustre_problem(
    deployment_type: str,
    capacity: int,
    throughput: int | None,
    version: str,
    storage_type: str = "SSD",
    *,
    metadata_iops: int | None = None,
    efa: bool = False,
) -> str | None:
    """Return the first thing that FSx would refuse about a Lustre file system.

    Args:
        throughput: None with the scratch types, which take none.
        metadata_iops: None leaves them to FSx (mode AUTOMATIC).
    """
    return (
        lustre_storage_problem(deployment_type, storage_type)
        or lustre_throughput_problem(deployment_type, throughput, storage_type)
        or lustre_capacity_problem(deployment_type, capacity, throughput, storage_type)
        or lustre_version_problem(deployment_type, version)
        or lustre_metadata_problem(deployment_type, version, metadata_iops)
        or (lustre_efa_problem(deployment_type, capacity, throughput, version) if efa else None)
    )


def lustre_storage_problem(deployment_type: str, storage_type: str) -> str | None:
    """HDD exists with PERSISTENT_1 only."""
    if deployment_type not in LUSTRE_DEPLOYMENTS:
        return f"deployment type {deployment_type} does not exist; there are {_or(LUSTRE_DEPLOYMENTS)}"
    if storage_type not in LUSTRE_STORAGE_TYPES:
        return f"storage type {storage_type} is not supported; choose {_or(LUSTRE_STORAGE_TYPES)}"
    if storage_type == "HDD" and deployment_type != "PERSISTENT_1":
        return f"storage type HDD needs PERSISTENT_1, not {deployment_type}"
    return None


def lustre_throughput_problem(deployment_type: str, throughput: int | None, storage_type: str = "SSD") -> str | None:
    """Persistent types need a throughput from their list; scratch types take none."""
    allowed = lustre_throughputs(deployment_type, storage_type)
    if not allowed:
        return None if throughput is None else f"{deployment_type} takes no throughput per unit of storage"
    if throughput in allowed:
        return None
    given = "no throughput" if throughput is None else f"a throughput of {throughput}"
    return f"{deployment_type} on {storage_type} does not work with {given}; choose {_or(allowed)} MB/s per TiB"


def lustre_throughputs(deployment_type: str, storage_type: str = "SSD") -> tuple[int, ...]:
    """Return the throughputs to choose from; empty for the scratch types."""
    if storage_type == "HDD" and deployment_type == "PERSISTENT_1":
        return tuple(LUSTRE_HDD_STEP)
    return LUSTRE_SSD_THROUGHPUT.get(deployment_type, ())


def lustre_capacity_problem(
    deployment_type: str, capacity: int, throughput: int | None = None, storage_type: str = "SSD"
) -> str | None:
    """SSD: 1200, 2400 and then steps of 2400 (3600 for SCRATCH_1). HDD: steps of 6000 or 1800."""
    step, extra = _sizes(deployment_type, throughput, storage_type)
    if not step or capacity in extra or (capacity > 0 and capacity % step == 0):
        return None
    return f"{capacity} GiB is not a size of {deployment_type} on {storage_type}; {_nearest(capacity, step, extra)}"


def _sizes(deployment_type: str, throughput: int | None, storage_type: str) -> tuple[int, tuple[int, ...]]:
    """Return the step of the sizes, 0 when unknown, and the sizes that are no multiple of it."""
    if storage_type == "HDD":
        return LUSTRE_HDD_STEP.get(throughput or 0, 0), ()
    return (3600, (1200, 2400)) if deployment_type == "SCRATCH_1" else (2400, (1200,))


def lustre_next_capacity(wanted: int, throughput: int | None, storage_type: str = "SSD", *, efa: bool = False) -> int:
    """Return the next size from ``wanted`` upwards: nobody asks for too much by mistake. Not for SCRATCH_1."""
    if not efa and storage_type == "SSD" and wanted <= 1200:
        return 1200
    step = LUSTRE_HDD_STEP.get(throughput or 0, 6000) if storage_type == "HDD" else 2400
    step = LUSTRE_EFA_STEP.get(throughput or 0, step) if efa else step
    return max(1, -(-wanted // step)) * step


def lustre_version_problem(deployment_type: str, version: str) -> str | None:
    """PERSISTENT_2 does not exist with Lustre 2.10."""
    if version not in LUSTRE_VERSIONS:
        return f"Lustre version {version} does not exist; choose {_or(LUSTRE_VERSIONS)}"
    if deployment_type == "PERSISTENT_2" and version == "2.10":
        return "PERSISTENT_2 does not work with Lustre 2.10; choose 2.12 or 2.15"
    return None


def lustre_metadata_problem(deployment_type: str, version: str, iops: int | None) -> str | None:
    """Metadata IOPS are chosen on PERSISTENT_2 with Lustre 2.15, from a list."""
    if iops is None:
        return None
    if not lustre_has_metadata(deployment_type, version):
        return f"metadata IOPS need PERSISTENT_2 with Lustre 2.15, not {deployment_type} with {version}"
    if iops not in LUSTRE_METADATA_IOPS:
        return f"{iops} metadata IOPS are not sold; choose 1500, 3000, 6000 or a multiple of 12000 up to 192000"
    return None


def lustre_has_metadata(deployment_type: str, version: str) -> bool:
    """Tell whether a metadata configuration is possible at all: Lustre 2.12 works without one only."""
    return deployment_type == "PERSISTENT_2" and version == "2.15"


def lustre_efa_problem(deployment_type: str, capacity: int, throughput: int | None, version: str) -> str | None:
    """EFA needs PERSISTENT_2 with a metadata configuration, and capacities in large steps."""
    if not lustre_has_metadata(deployment_type, version):
        return f"EFA needs PERSISTENT_2 with Lustre 2.15, not {deployment_type} with {version}"
    step = LUSTRE_EFA_STEP.get(throughput or 0)
    if not step or (capacity > 0 and capacity % step == 0):
        return None
    return f"{capacity} GiB does not work with EFA at {throughput} MB/s per TiB; {_nearest(capacity, step, ())}"


def lustre_association_problem(deployment_type: str, version: str) -> str | None:
    """Data repository associations need Lustre 2.12 or later and anything but SCRATCH_1."""
    if deployment_type not in ASSOCIATION_DEPLOYMENTS:
        return f"{deployment_type} cannot be linked to S3; choose {_or(ASSOCIATION_DEPLOYMENTS)}"
    if version not in ASSOCIATION_VERSIONS:
        return f"Lustre {version} cannot be linked to S3; choose {_or(ASSOCIATION_VERSIONS)}"
    return None


def openzfs_problem(deployment_type: str, capacity: int, throughput: int) -> str | None:
    """Return the first thing that FSx would refuse about an OpenZFS file system."""
    return openzfs_throughput_problem(deployment_type, throughput) or openzfs_capacity_problem(capacity)


def openzfs_throughput_problem(deployment_type: str, throughput: int) -> str | None:
    """Each deployment type has its own list of throughputs.

    The reference lists no values for the HA types; they are those of SINGLE_AZ_1 and SINGLE_AZ_2, inside the
    ranges that it states for SINGLE_AZ_HA_1 (64 to 4096) and SINGLE_AZ_HA_2 (160 to 10240).
    """
    allowed = OPENZFS_THROUGHPUT.get(deployment_type)
    if allowed is None:
        return f"deployment type {deployment_type} does not exist; there are {_or(OPENZFS_DEPLOYMENTS)}"
    if throughput not in allowed:
        return f"{deployment_type} does not work with a throughput of {throughput}; choose {_or(allowed)} MB/s"
    return None


def openzfs_capacity_problem(capacity: int) -> str | None:
    """64 to 524288 GiB."""
    if OPENZFS_MIN_CAPACITY <= capacity <= OPENZFS_MAX_CAPACITY:
        return None
    return f"{capacity} GiB is outside of {OPENZFS_MIN_CAPACITY} to {OPENZFS_MAX_CAPACITY}"


def _nearest(capacity: int, step: int, extra: tuple[int, ...]) -> str:
    below = capacity // step * step
    near = {size for size in (below, below + step, step, *extra) if size > 0}
    sizes = sorted(sorted(near, key=lambda size: abs(size - capacity))[:2])
    first = f"{_or(extra)} or a multiple" if extra else "a multiple"
    return f"choose {first} of {step} (near: {', '.join(map(str, sizes))})"


def _or(choices: Iterable[object]) -> str:
    *most, last = map(str, choices)
    return f"{', '.join(most)} or {last}" if most else last
