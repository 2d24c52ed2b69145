"""The kinds of names and numbers in ``pcinfra.yaml``, each with the rule of the service that takes it.

A value that breaks its rule raises :func:`fault`: why, and what to type instead.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from pcinfra.project.wording import nearest
from pcinfra.stacks import limits

COMMON_REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-central-1", "eu-west-1",
    "eu-west-2", "eu-west-3", "eu-north-1", "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1",
    "ap-southeast-2", "us-gov-west-1", "us-gov-east-1",
)  # fmt: skip
"""For suggestions only: any region may be used."""


def fault(why: str, *, instead: str = "", hint: str = "") -> PydanticCustomError:
    """Return the error of a validator: ``instead`` is a value to type, ``hint`` any other advice."""
    return PydanticCustomError("rule", "{why}", {"why": why, "instead": instead, "hint": hint})


def _no_fix(value: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text that must match ``regex`` as a whole.

    Args:
        fix: makes a suggestion, kept only if it matches itself; otherwise ``example`` is shown.
    """

    regex: str
    why: str
    fix: Callable[[str], str] = _no_fix
    example: str = ""

    def __call__(self, value: str) -> str:
        if re.fullmatch(self.regex, value):
            return value
        instead = self.fix(value)
        if re.fullmatch(self.regex, instead):
            raise fault(self.why, instead=instead)
        raise fault(self.why, hint=f"for example {self.example}" if self.example else "")


def _hyphens(value: str) -> str:
    """Return ``value`` with everything but letters and digits turned into single hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", value).strip("-")


def _lower_hyphens(value: str) -> str:
    return _hyphens(value).lower()


def _lower(value: str) -> str:
    return value.strip().lower()


PROJECT = Pattern(
    r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
    "must be 1 to 40 lower-case letters, digits and hyphens, and begin with a letter",
    _lower_hyphens,
)
"""Ours: it is a tag's value and part of names, so it takes what every service takes."""

STACK = Pattern(
    r"[a-zA-Z][-a-zA-Z0-9]{0,127}", "must be at most 128 letters, digits and hyphens, and begin with a letter", _hyphens
)
"""Source: CloudFormation API reference, CreateStack, StackName."""

CLUSTER = Pattern(
    r"[a-zA-Z][a-zA-Z0-9-]{0,59}", "must be at most 60 letters, digits and hyphens, and begin with a letter", _hyphens
)
"""Source: ParallelCluster, ``pcluster create-cluster --cluster-name``."""

ASSOCIATION = Pattern(
    r"[a-z][a-z0-9-]{0,29}", "must be at most 30 lower-case letters, digits and hyphens", _lower_hyphens
)
"""Ours: it is a tag's value and part of an Action's id."""

IMAGE = Pattern(r"[a-z][a-z0-9-]{0,29}", "must be at most 30 lower-case letters, digits and hyphens", _lower_hyphens)
"""Ours: it is part of an Action's id, and what a job calls the image by."""

ECR_REPOSITORY = Pattern(
    r"(?=.{2,256}$)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
    "must be 2 to 256 lower-case letters and digits, with single . _ - or / between them",
    _lower,
)
"""Source: ECR API reference, CreateRepository, repositoryName."""

IMAGE_TAG = Pattern(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", "must be at most 128 letters, digits, . _ and -", _hyphens)
"""Source: OCI distribution specification, "Pulling manifests", reference as a tag."""

INSTANCE_TYPE = Pattern(
    r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9]+xl)?)",
    "is not the name of an EC2 instance type (family.size)",
    lambda value: re.sub(r"[-_ ](?=\d*x?large|metal)", ".", _lower(value), count=1),
    "p5.48xlarge",
)
"""Source: EC2 user guide, "Amazon EC2 instance type naming conventions"."""

RESERVATION = Pattern(
    r"cr-[0-9a-f]{17}",
    "must be the id of a capacity reservation: cr- and 17 hex digits",
    _lower,
    "cr-0123456789abcdef0",
)
"""Source: EC2 user guide, resource ids (17 characters, long format)."""

VPC_NAME = Pattern(r"\S.{0,199}", "must be 1 to 200 characters, and not begin with a space", str.strip)
"""The parameter VPCName of the prerequisites template."""

BACKUP_TIME = Pattern(r"([01]\d|2[0-3]):[0-5]\d", "must be a time of day, HH:MM in UTC", example='"19:00"')
"""Source: FSx API reference, CreateFileSystemOpenZFSConfiguration, DailyAutomaticBackupStartTime."""


def resource_id(prefix: str, what: str) -> Pattern:
    """Return the pattern of ids of one kind.

    Source: EC2 user guide, "Resource IDs": 8 or 17 hex digits; FSx API reference: 17.
    """
    digits = "[0-9a-f]{17}" if prefix.startswith("fs") else "([0-9a-f]{8}|[0-9a-f]{17})"
    example = f"{prefix}-0123456789abcdef0"
    return Pattern(f"{prefix}-{digits}", f"must be the id of {what}: {prefix}- and hex digits", _lower, example)


VPC = resource_id("vpc", "a VPC")
SUBNET = resource_id("subnet", "a subnet")
SECURITY_GROUP = resource_id("sg", "a security group")
FILE_SYSTEM = resource_id("fs", "an FSx file system")
VOLUME = resource_id("fsvol", "an FSx volume")

AMI = resource_id("ami", "an image")

SECRET_ARN = Pattern(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}",
    "must be the ARN of a secret in Secrets Manager",
    example="arn:aws:secretsmanager:us-east-1:123456789012:secret:slurm-AbCdEf",
)
"""Source: Secrets Manager API reference, CreateSecret; ParallelCluster, Database/PasswordSecretArn."""

_NAMED = r"[A-Za-z0-9/_+=.@-]+"
_PARAMETER_NAME = r"/?[A-Za-z0-9_.-][A-Za-z0-9_./-]*\*?"
SECRET_GRANT = Pattern(
    rf"secretsmanager:{_NAMED}\*?"
    rf"|ssm:{_PARAMETER_NAME}"
    rf"|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{{12}}:secret:{_NAMED}(\*|-[A-Za-z0-9]{{6}})"
    rf"|arn:aws[a-z-]*:ssm:[a-z0-9-]+:\d{{12}}:parameter/[A-Za-z0-9_.-][A-Za-z0-9_./-]*\*?",
    "must be secretsmanager:NAME, ssm:NAME, or an ARN with a secret's last six characters; * only at the end of a name",
    example="secretsmanager:team/*",
)
"""Source: Secrets Manager API reference, CreateSecret, Name; SSM API reference, PutParameter, Name; see grants.py."""

REPOSITORY_GRANT = Pattern(
    r"(?=.{2,256}$)[a-z0-9][a-z0-9._/-]*\*?",
    "must be the name of an ECR repository of the account; * only at the end",
    lambda value: value.strip().lower().rpartition("amazonaws.com/")[2].partition(":")[0],
    "team/*",
)
"""Source: ECR API reference, CreateRepository, repositoryName."""

DATABASE_URI = Pattern(
    r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:\d{1,5})?",
    "must be HOST or HOST:PORT of a MySQL server, without a scheme",
    lambda value: re.sub(r"^[a-z]+://|/.*$", "", value.strip()),
    "db.example.com:3306",
)
"""Source: ParallelCluster, Database/Uri: no scheme; DatabaseUriValidator."""

DATABASE_NAME = Pattern(
    r"[0-9a-z_]{1,64}",
    "must be 1 to 64 lower-case letters, digits and _",
    lambda value: re.sub(r"[^0-9a-z_]+", "_", value.lower()),
)
"""Source: ParallelCluster, Database/DatabaseName (schema)."""

KMS_KEY = Pattern(
    r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})",
    "must be the ARN of a KMS key; names and aliases may come to mean another key",
    example="arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
)
"""Source: KMS developer guide, "Key identifiers (KeyId)", key ARN."""

POLICY_ARN = Pattern(
    r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\x21-\x7e]{1,512}",
    "must be the ARN of an IAM policy",
    example="arn:aws:iam::123456789012:policy/boundary",
)
"""Source: IAM API reference, PutRolePermissionsBoundary; ParallelCluster, Iam/PermissionsBoundary."""

CONTEXT = Pattern(
    r"builtin:[a-z0-9-]+|(?!builtin:).*\S.*", "must be a folder, or builtin: and the name of an image of pcinfra"
)

FSX_PATH = Pattern(
    r"/|(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x85\u2028\u2029]{1,255})+",
    "must be a directory of the file system: begin with /, not end with / and hold no . or ..",
    lambda value: "/" + "/".join(part for part in value.split("/") if part not in ("", ".", "..")),
)
"""Source: FSx API reference, CreateDataRepositoryAssociation, FileSystemPath (type Namespace)."""

PREFIX = Pattern(
    r"(?=.{1,900}$)([A-Za-z0-9!_.*'()=+,@&$;:-]+/)+",
    "must end with /, not begin with / and hold no spaces",
    lambda value: value.strip().strip("/") + "/",
)
"""A directory-like S3 prefix. Source: S3 user guide, "Naming Amazon S3 objects": safe characters."""

_REGION = Pattern(
    r"[a-z]{2,4}(-[a-z]+)?-(central|(north|south)?(east|west)|north|south)-[1-9]",
    "is not the name of a region",
    lambda value: nearest(value, COMMON_REGIONS),
    "us-east-1",
)


def region(value: str) -> str:
    """Accept ``us-east-1`` and its like. Source: AWS General Reference, "Regional endpoints": region codes."""
    if re.fullmatch(rf"({_REGION.regex})[a-z]", value):
        raise fault("is an availability zone; the region has no letter at its end", instead=value[:-1])
    return _REGION(value)


def zone(value: str) -> str:
    """Accept ``auto`` and ``us-east-1a``. Source: EC2 user guide, "Availability Zones": names and ids."""
    if value == "auto" or re.fullmatch(rf"({_REGION.regex})[a-z]", value):
        return value
    if re.fullmatch(r"[a-z]+[0-9]-az[0-9]+", value):
        raise fault(f"{value} is a zone's id; its name is wanted, such as us-east-1a", instead="auto")
    raise fault("must be auto, or the name of an availability zone, such as us-east-1a", instead="auto")


_BUCKET_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def bucket(value: str) -> str:
    """Accept ``auto`` and bucket names. Source: S3 user guide, "General purpose bucket naming rules"."""
    if not 3 <= len(value) <= 63:
        raise fault(f"has {len(value)} characters; a bucket's name has 3 to 63")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*[a-z0-9]", value):
        why = "must be lower-case letters, digits, hyphens and dots, and begin and end with a letter or digit"
        raise fault(why, instead=_lower_hyphens(value))
    if ".." in value:
        raise fault("must not have two dots side by side", instead=re.sub(r"\.+", ".", value))
    if re.fullmatch(r"\d+(\.\d+){3}", value):
        raise fault("must not look like an IP address", instead="auto")
    taken = [start for start in _BUCKET_STARTS if value.startswith(start)]
    taken += [end for end in _BUCKET_ENDS if value.endswith(end)]
    if taken:
        raise fault(f"{taken[0]} at the start or end of a bucket's name is reserved by S3", instead="auto")
    return value


def instance_type_or_auto(value: str) -> str:
    """Accept ``auto`` and what :data:`INSTANCE_TYPE` accepts."""
    return value if value == "auto" else INSTANCE_TYPE(value)


def capacity_units(value: float) -> float:
    """Accept capacities of Aurora Serverless v2. Source: RDS API reference, ServerlessV2ScalingConfiguration."""
    least, most = limits.MIN_CAPACITY_UNITS, limits.MAX_CAPACITY_UNITS
    if not least <= value <= most or value * 2 % 1:
        near = round(min(max(least, value), most) * 2) / 2
        raise fault(f"must be {least:g} to {most:g}, in steps of 0.5", hint=f"{near:g}")
    return value


def flow_logs_bucket(value: str) -> str:
    """Accept names of buckets that exist. Source: S3 user guide, "General purpose bucket naming rules"."""
    if value == "auto":
        raise fault("must be the name of a bucket: flow logs do not go into the project's own", hint="my-flow-logs")
    return bucket(value)


def queue(value: str) -> str:
    """Accept names of Slurm queues. Source: ParallelCluster, Scheduling/SlurmQueues/Name, and its NameValidator."""
    if value == "default":
        raise fault("default is reserved by ParallelCluster", instead="gpu")
    return _QUEUE(value)


_QUEUE = Pattern(
    r"[a-z][a-z0-9-]{0,24}", "must be at most 25 lower-case letters, digits and hyphens, and begin with a letter",
    _lower_hyphens,
)  # fmt: skip


def cidr(value: str) -> str:
    """Accept a private IPv4 range of a VPC or subnet.

    Source: VPC user guide, "VPC CIDR blocks": /16 to /28, RFC 1918 recommended. Ours: only RFC 1918 and RFC 6598,
    so that no public address becomes unreachable from the nodes; and no host bits, which EC2 drops silently.
    """
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError as error:
        raise fault(
            "is not an IPv4 range such as 10.0.0.0/16", hint="four numbers from 0 to 255, then / and 16 to 28"
        ) from error
    if "/" not in value or not 16 <= network.prefixlen <= 28:
        size = min(max(network.prefixlen, 16), 28) if "/" in value else 16
        instead = str(ipaddress.IPv4Network((network.network_address, size), strict=False))
        raise fault("must have a size from /16 to /28", instead=instead)
    if str(network) != value:
        raise fault("has bits set behind its size", instead=str(network))
    if not any(network.subnet_of(ipaddress.IPv4Network(private)) for private in PRIVATE_RANGES):
        raise fault(f"is not a private range; those are inside {', '.join(PRIVATE_RANGES)}", instead="10.0.0.0/16")
    return value


SHARED_RANGE = "100.64.0.0/10"
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", SHARED_RANGE)

_TAG_TEXT = re.compile(r"[\w .:/=+\-@]*")  # IAM has no line breaks in a tag, and roles get the tags too


def tag_key(value: str) -> str:
    """Accept keys of tags that users may set.

    Source: EC2 user guide, "Tag your resources": 1 to 128 characters, aws: is reserved. parallelcluster: belongs
    to ParallelCluster, pcinfra: to pcinfra.
    """
    owner = value.partition(":")[0].lower()
    if ":" in value and owner in ("aws", "pcinfra", "parallelcluster"):
        raise fault(f"{owner}: is reserved", hint="begin the key with something else")
    if not value or len(value) > 128:
        raise fault(f"has {len(value)} characters; a tag's key has 1 to 128")
    return _tag_text(value)


def tag_value(value: str) -> str:
    """Accept values of tags. Source: CloudFormation API reference, Tag: 1 to 256 characters."""
    if not value or len(value) > 256:
        raise fault(f"has {len(value)} characters; a tag's value has 1 to 256")
    return _tag_text(value)


def _tag_text(value: str) -> str:
    if not _TAG_TEXT.fullmatch(value):
        wrong = next(char for char in value if not _TAG_TEXT.fullmatch(char))
        raise fault(f"{wrong!r} is not possible in a tag", hint="letters, digits, spaces and _ . : / = + - @")
    return value


def _matching(pattern: Pattern) -> object:
    return Field(json_schema_extra={"pattern": f"^({pattern.regex})$"})


ProjectName = Annotated[str, AfterValidator(PROJECT), _matching(PROJECT)]
StackName = Annotated[str, AfterValidator(STACK), _matching(STACK)]
ClusterName = Annotated[str, AfterValidator(CLUSTER)]
AssociationName = Annotated[str, AfterValidator(ASSOCIATION)]
ImageName = Annotated[str, AfterValidator(IMAGE)]
RepositoryName = Annotated[str, AfterValidator(ECR_REPOSITORY), _matching(ECR_REPOSITORY)]
ImageTag = Annotated[str, AfterValidator(IMAGE_TAG), _matching(IMAGE_TAG)]
InstanceType = Annotated[str, AfterValidator(INSTANCE_TYPE), _matching(INSTANCE_TYPE)]
InstanceTypeOrAuto = Annotated[str, AfterValidator(instance_type_or_auto)]
AmiId = Annotated[str, AfterValidator(AMI), _matching(AMI)]
SecretArn = Annotated[str, AfterValidator(SECRET_ARN), _matching(SECRET_ARN)]
CapacityUnits = Annotated[float, AfterValidator(capacity_units)]
SecretGrant = Annotated[str, AfterValidator(SECRET_GRANT), _matching(SECRET_GRANT)]
RepositoryGrant = Annotated[str, AfterValidator(REPOSITORY_GRANT), _matching(REPOSITORY_GRANT)]
DatabaseUri = Annotated[str, AfterValidator(DATABASE_URI)]
DatabaseName = Annotated[str, AfterValidator(DATABASE_NAME), _matching(DATABASE_NAME)]
ReservationId = Annotated[str, AfterValidator(RESERVATION)]
VpcName = Annotated[str, AfterValidator(VPC_NAME)]
BackupTime = Annotated[str, AfterValidator(BACKUP_TIME), _matching(BACKUP_TIME)]
FlowLogsBucket = Annotated[str, AfterValidator(flow_logs_bucket)]
VpcId = Annotated[str, AfterValidator(VPC), _matching(VPC)]
SubnetId = Annotated[str, AfterValidator(SUBNET), _matching(SUBNET)]
SecurityGroupId = Annotated[str, AfterValidator(SECURITY_GROUP), _matching(SECURITY_GROUP)]
FileSystemId = Annotated[str, AfterValidator(FILE_SYSTEM), _matching(FILE_SYSTEM)]
VolumeId = Annotated[str, AfterValidator(VOLUME), _matching(VOLUME)]
KmsKey = Annotated[str, AfterValidator(KMS_KEY), _matching(KMS_KEY)]
PolicyArn = Annotated[str, AfterValidator(POLICY_ARN), _matching(POLICY_ARN)]
BuildContext = Annotated[str, AfterValidator(CONTEXT)]
LustrePath = Annotated[str, AfterValidator(FSX_PATH)]
S3Prefix = Annotated[str, AfterValidator(PREFIX)]
Region = Annotated[str, AfterValidator(region)]
Zone = Annotated[str, AfterValidator(zone)]
BucketName = Annotated[str, AfterValidator(bucket)]
QueueName = Annotated[str, AfterValidator(queue), _matching(_QUEUE)]
Cidr = Annotated[str, AfterValidator(cidr)]
TagKey = Annotated[str, AfterValidator(tag_key)]
TagValue = Annotated[str, AfterValidator(tag_value)]
