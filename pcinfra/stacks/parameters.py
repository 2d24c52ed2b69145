"""The parameters of the prerequisites template, and the Rules that tie them together.

A Rule is checked by CloudFormation before anything is created, also when the stack is used without pcinfra.
What Rules cannot say, because they do no arithmetic (capacities in steps), is in :mod:`pcinfra.stacks.limits`.
"""

from __future__ import annotations

from collections.abc import Iterable

from troposphere import And, Equals, Not, Or, Parameter, Ref, Template

from pcinfra.stacks import limits
from pcinfra.stacks.settings import StackSettings

TRUE_FALSE = ("true", "false")
CIDR = r"\d{1,3}(\.\d{1,3}){3}/(1[6-9]|2[0-8])"
BUCKET_ARN = r"(arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?)?"
KEY_ARN = r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[0-9a-z-]{36})?"

GROUPS = {
    "Network": (
        "VPCName",
        "PrimarySubnetAZ",
        "SecondarySubnetAZ",
        "VpcCidr",
        "PublicSubnetCidr",
        "PrivateCidr",
        "PrimaryPrivateSubnetCidr",
        "SecondaryPrivateSubnetCidr",
        "CreateS3Endpoint",
        "CreateDynamoDBEndpoint",
        "CreateEcrEndpoints",
        "CreateSsmEndpoints",
        "FlowLogsBucketArn",
    ),
    "FSx for Lustre": (
        "LustreDeploymentType",
        "LustreStorageType",
        "LustreDriveCacheType",
        "Capacity",
        "PerUnitStorageThroughput",
        "Compression",
        "LustreVersion",
        "LustreMetadataIops",
        "LustreEfa",
    ),
    "FSx for OpenZFS": (
        "OpenZFSDeploymentType",
        "OpenZFSCapacity",
        "OpenZFSThroughput",
        "OpenZFSBackupRetentionDays",
        "OpenZFSBackupTime",
    ),
    "Both file systems": ("KmsKeyArn",),
    "Slurm accounting": ("AccountingDatabase", "DatabaseMinCapacity", "DatabaseMaxCapacity", "DatabaseBackupDays"),
    "Nodes": ("NodeRepositoryArns", "NodeSecretArns", "NodeParameterArns"),
    "Used instead of being made": (
        "ExistingVpc",
        "ExistingPublicSubnet",
        "ExistingPrivateSubnet",
        "ExistingSecurityGroup",
        "ExistingLustre",
        "ExistingLustreMountName",
        "ExistingOpenZFSVolume",
    ),
}


def add_parameters(template: Template, settings: StackSettings) -> None:
    """Declare every parameter; ``settings`` are the defaults."""
    defaults = settings.parameters()
    for parameter in (*_network(), *_lustre(), *_openzfs(), _key(), *_database(), *_nodes(), *_existing()):
        if parameter.title in defaults:
            text = defaults[parameter.title]
            parameter.Default = _number(text) if parameter.Type == "Number" else text
        template.add_parameter(parameter)
    for label, names in GROUPS.items():
        for name in names:
            template.add_parameter_to_group(name, label)


def add_rules(template: Template) -> None:
    """Refuse what FSx would refuse, before anything is created."""
    for deployment, allowed in limits.LUSTRE_SSD_THROUGHPUT.items():
        if allowed:
            condition = And(Equals(Ref("LustreDeploymentType"), deployment), _storage_is("SSD"))
            _rule(template, f"Throughput{_title(deployment)}", condition, "PerUnitStorageThroughput", allowed)
    _rule(template, "ThroughputHdd", _storage_is("HDD"), "PerUnitStorageThroughput", limits.LUSTRE_HDD_STEP)
    _rule(template, "HddDeploymentType", _storage_is("HDD"), "LustreDeploymentType", ("PERSISTENT_1",))
    _add_metadata_rules(template)
    for allowed in dict.fromkeys(limits.OPENZFS_THROUGHPUT.values()):
        members = [name for name, values in limits.OPENZFS_THROUGHPUT.items() if values == allowed]
        condition = {"Fn::Contains": [members, Ref("OpenZFSDeploymentType")]}
        _rule(template, f"OpenZFS{_title(members[0])}", condition, "OpenZFSThroughput", allowed)
    _add_zone_rule(template)
    _add_existing_rules(template)
    _add_database_rule(template)


def _add_database_rule(template: Template) -> None:
    assertion = And(Not(Equals(Ref("SecondarySubnetAZ"), "")), Equals(Ref("ExistingVpc"), ""))
    why = "AccountingDatabase needs two private subnets: a SecondarySubnetAZ, and no ExistingVpc"
    rule = {
        "RuleCondition": Equals(Ref("AccountingDatabase"), "true"),
        "Assertions": [{"Assert": assertion, "AssertDescription": why}],
    }
    template.add_rule("DatabaseZones", rule)


def _add_existing_rules(template: Template) -> None:
    """A network is used as a whole, and nothing else can be reached without it; a second zone is not made in it."""
    empty = {name: Equals(Ref(name), "") for name in GROUPS["Used instead of being made"]}
    others = [Not(test) for name, test in empty.items() if name != "ExistingVpc"]
    whole = And(Not(empty["ExistingPublicSubnet"]), Not(empty["ExistingPrivateSubnet"]))
    mount = And(Not(empty["ExistingVpc"]), Not(empty["ExistingLustreMountName"]))
    one = And(Equals(Ref("SecondarySubnetAZ"), ""), Or(Not(empty["ExistingOpenZFSVolume"]), _not_multi_az()))
    rules = (
        ("ExistingNetwork", Not(empty["ExistingVpc"]), whole, "ExistingVpc needs both existing subnets"),
        ("ExistingNeedsVpc", Or(*others), Not(empty["ExistingVpc"]), "what exists is used with ExistingVpc only"),
        ("ExistingMount", Not(empty["ExistingLustre"]), mount, "ExistingLustre needs ExistingLustreMountName"),
        ("ExistingZone", Not(empty["ExistingVpc"]), one, "an existing VPC gets no second zone"),
    )
    for title, condition, assertion, why in rules:
        checked = [{"Assert": assertion, "AssertDescription": why}]
        template.add_rule(title, {"RuleCondition": condition, "Assertions": checked})


def _not_multi_az() -> Not:
    return Not(Equals(Ref("OpenZFSDeploymentType"), "MULTI_AZ_1"))


def _add_metadata_rules(template: Template) -> None:
    wanted = Or(Not(Equals(Ref("LustreMetadataIops"), "AUTOMATIC")), Equals(Ref("LustreEfa"), "true"))
    _rule(template, "MetadataDeploymentType", wanted, "LustreDeploymentType", ("PERSISTENT_2",))
    _rule(template, "MetadataLustreVersion", wanted, "LustreVersion", ("2.15",))


def _add_zone_rule(template: Template) -> None:
    second = Ref("SecondarySubnetAZ")
    assertion = And(Not(Equals(second, "")), Not(Equals(second, Ref("PrimarySubnetAZ"))))
    why = "OpenZFSDeploymentType MULTI_AZ_1 needs a SecondarySubnetAZ other than PrimarySubnetAZ"
    rule = {
        "RuleCondition": Equals(Ref("OpenZFSDeploymentType"), "MULTI_AZ_1"),
        "Assertions": [{"Assert": assertion, "AssertDescription": why}],
    }
    template.add_rule("SecondZone", rule)


def _rule(template: Template, title: str, condition: object, name: str, allowed: Iterable[object]) -> None:
    values = [str(value) for value in allowed]
    why = f"{name} must be {' or '.join(values)} with the other parameters as given"
    assertion = {"Assert": {"Fn::Contains": [values, Ref(name)]}, "AssertDescription": why}
    template.add_rule(title, {"RuleCondition": condition, "Assertions": [assertion]})


def _storage_is(storage_type: str) -> Equals:
    return Equals(Ref("LustreStorageType"), storage_type)


def _title(deployment: str) -> str:
    return "".join(part.capitalize() for part in deployment.split("_"))


def _network() -> list[Parameter]:
    return [
        _text("VPCName", "Name of the VPC, and the start of every name in it.", r"[^\s].{0,199}"),
        Parameter(
            "PrimarySubnetAZ",
            Type="AWS::EC2::AvailabilityZone::Name",
            Description="Zone of the subnets and the file systems: where the instances or the reservation are.",
        ),
        _text("SecondarySubnetAZ", "Another zone, which OpenZFS MULTI_AZ_1 needs; empty makes one zone."),
        _text("VpcCidr", "First address range of the VPC; holds the public subnet.", CIDR),
        _text("PublicSubnetCidr", "Public subnet, inside VpcCidr: head node and NAT gateway.", CIDR),
        _text("PrivateCidr", "Second address range of the VPC; holds the private subnets.", CIDR),
        _text("PrimaryPrivateSubnetCidr", "Private subnet, inside PrivateCidr: nodes, file systems.", CIDR),
        _text("SecondaryPrivateSubnetCidr", "Second private subnet, used with SecondarySubnetAZ.", CIDR),
        _choice("CreateS3Endpoint", "Reach S3 directly instead of through the NAT gateway.", TRUE_FALSE),
        _choice("CreateDynamoDBEndpoint", "Reach DynamoDB directly instead of through the NAT gateway.", TRUE_FALSE),
        _choice("CreateEcrEndpoints", "Two interface endpoints for ECR, billed by the hour.", TRUE_FALSE),
        _choice("CreateSsmEndpoints", "Three interface endpoints for Session Manager, billed by the hour.", TRUE_FALSE),
        _text("FlowLogsBucketArn", "Bucket (ARN) for VPC flow logs; empty records none.", BUCKET_ARN),
    ]


def _lustre() -> list[Parameter]:
    throughputs = sorted({*limits.LUSTRE_HDD_STEP, *sum(limits.LUSTRE_SSD_THROUGHPUT.values(), ())})
    return [
        _choice("LustreDeploymentType", "Deployment type.", limits.ASSOCIATION_DEPLOYMENTS),
        _choice("LustreStorageType", "HDD needs PERSISTENT_1.", limits.LUSTRE_STORAGE_TYPES),
        _choice("LustreDriveCacheType", "SSD cache in front of HDD.", limits.LUSTRE_DRIVE_CACHES),
        Parameter(
            "Capacity",
            Type="Number",
            MinValue=1200,
            Description="GiB. SSD: 1200 or a multiple of 2400; HDD: a multiple of 6000 (at 12) or 1800 (at 40).",
        ),
        Parameter(
            "PerUnitStorageThroughput",
            Type="Number",
            AllowedValues=throughputs,
            Description=(
                "MB/s per TiB. PERSISTENT_2: 125, 250, 500, 1000. PERSISTENT_1: 50, 100, 200; on HDD 12, 40. "
                "SCRATCH_2 ignores it."
            ),
        ),
        _choice("Compression", "Data compression.", limits.LUSTRE_COMPRESSIONS),
        _choice("LustreVersion", "Lustre version.", reversed(limits.ASSOCIATION_VERSIONS)),
        _choice(
            "LustreMetadataIops",
            "Metadata IOPS of PERSISTENT_2 with Lustre 2.15.",
            ("AUTOMATIC", *limits.LUSTRE_METADATA_IOPS),
        ),
        _choice(
            "LustreEfa",
            "EFA and GPUDirect Storage: PERSISTENT_2, Lustre 2.15, capacity in steps of 38400 (at 125), "
            "19200 (at 250), 9600 (at 500) or 4800 (at 1000).",
            TRUE_FALSE,
        ),
    ]


def _openzfs() -> list[Parameter]:
    throughputs = sorted(set(sum(limits.OPENZFS_THROUGHPUT.values(), ())))
    return [
        _choice(
            "OpenZFSDeploymentType",
            "Deployment type. SINGLE_AZ_HA_2 is not in every region; MULTI_AZ_1 is, and needs SecondarySubnetAZ.",
            limits.OPENZFS_DEPLOYMENTS,
        ),
        Parameter(
            "OpenZFSCapacity",
            Type="Number",
            MinValue=limits.OPENZFS_MIN_CAPACITY,
            MaxValue=limits.OPENZFS_MAX_CAPACITY,
            Description="GiB of /home.",
        ),
        Parameter(
            "OpenZFSThroughput",
            Type="Number",
            AllowedValues=throughputs,
            Description=(
                "MB/s. SINGLE_AZ_1, SINGLE_AZ_HA_1: 64 to 4096. SINGLE_AZ_2, SINGLE_AZ_HA_2, MULTI_AZ_1: 160 to 10240."
            ),
        ),
        Parameter(
            "OpenZFSBackupRetentionDays",
            Type="Number",
            MinValue=0,
            MaxValue=limits.MAX_BACKUP_RETENTION_DAYS,
            Description=(
                "Days that daily backups are kept; 0 makes none. Deleting the stack takes one final backup in any "
                "case: CloudFormation has no property against it."
            ),
        ),
        _text("OpenZFSBackupTime", "When the daily backup is made, HH:MM in UTC.", r"([01]\d|2[0-3]):[0-5]\d"),
    ]


def _key() -> Parameter:
    return _text(
        "KmsKeyArn", "Key (ARN) that encrypts the file systems, but SCRATCH_2; empty is FSx's own key.", KEY_ARN
    )


def _database() -> list[Parameter]:
    capacity = {"Type": "Number", "MinValue": limits.MIN_CAPACITY_UNITS, "MaxValue": limits.MAX_CAPACITY_UNITS}
    units = "Aurora capacity units of the accounting database (about 2 GiB of memory each), in steps of 0.5"
    return [
        _choice("AccountingDatabase", "Aurora MySQL Serverless v2 for slurmdbd; needs SecondarySubnetAZ.", TRUE_FALSE),
        Parameter("DatabaseMinCapacity", Description=f"Least {units}.", **capacity),
        Parameter("DatabaseMaxCapacity", Description=f"Most {units}.", **capacity),
        Parameter(
            "DatabaseBackupDays",
            Type="Number",
            MinValue=1,
            MaxValue=limits.MAX_DATABASE_BACKUP_DAYS,
            Description="Days back to which the accounting database can be restored.",
        ),
    ]


def _nodes() -> list[Parameter]:
    return [
        _text(
            "NodeRepositoryArns",
            "ECR repositories that nodes pull from, ARNs with commas between; empty makes no policy for the nodes.",
            _arns("ecr", "repository/"),
        ),
        _text("NodeSecretArns", "Secrets that nodes read; empty for none.", _arns("secretsmanager", "secret:")),
        _text("NodeParameterArns", "SSM parameters that nodes read; empty for none.", _arns("ssm", "parameter/")),
    ]


def _arns(service: str, start: str) -> str:
    each = rf"arn:aws[a-z-]*:{service}:[a-z0-9-]+:\d{{12}}:{start}[A-Za-z0-9/_+=.@?-]+\*?"
    return f"({each}(,{each})*)?"


def _existing() -> list[Parameter]:
    kinds = (
        ("ExistingVpc", "VPC", "vpc-"),
        ("ExistingPublicSubnet", "Public subnet of ExistingVpc", "subnet-"),
        ("ExistingPrivateSubnet", "Private subnet of ExistingVpc", "subnet-"),
        ("ExistingSecurityGroup", "Security group, open to itself", "sg-"),
        ("ExistingLustre", "Lustre file system", "fs-"),
        ("ExistingOpenZFSVolume", "OpenZFS volume of /home", "fsvol-"),
    )
    found = [_text(name, f"{what} to use; empty makes one.", f"({start}[0-9a-f]+)?") for name, what, start in kinds]
    mount = _text("ExistingLustreMountName", "Mount name of ExistingLustre.", "([A-Za-z0-9]+)?")
    return [*found, mount]


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _text(name: str, description: str, pattern: str | None = None) -> Parameter:
    parameter = Parameter(name, Type="String", Description=description)
    if pattern:
        parameter.AllowedPattern = pattern
    return parameter


def _choice(name: str, description: str, allowed: Iterable[object]) -> Parameter:
    return Parameter(name, Type="String", Description=description, AllowedValues=[str(a) for a in allowed])
