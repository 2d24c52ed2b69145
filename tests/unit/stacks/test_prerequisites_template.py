"""The prerequisites template, resolved for given parameters by the evaluator at the end of this file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cfn_flip
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra import assets
from pcinfra.stacks import limits
from pcinfra.stacks.prerequisites import FILE_NAME, MAX_BODY_BYTES, render
from pcinfra.stacks.settings import NODE_POLICY_ROOM, StackSettings

COMMITTED = assets.folder("cfn") / FILE_NAME
TEMPLATE: dict[str, Any] = json.loads(cfn_flip.to_json(COMMITTED.read_text(encoding="utf-8")))
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]

GUIDE_PARAMETERS = {
    "VPCName",
    "PrimarySubnetAZ",
    "Capacity",
    "PerUnitStorageThroughput",
    "Compression",
    "LustreVersion",
    "OpenZFSCapacity",
    "OpenZFSThroughput",
    "CreateS3Endpoint",
}
GUIDE_OUTPUTS = {
    "VPC",
    "PublicSubnet",
    "PrimaryPrivateSubnet",
    "SecurityGroup",
    "FSxLustreFilesystemId",
    "FSxLustreFilesystemMountname",
    "FSxLustreFilesystemDNSname",
    "FSxORootVolumeId",
}


def test_committed_rendering_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == render(StackSettings()), "run: python -m pcinfra.stacks"


def test_fits_in_a_template_body() -> None:
    assert len(COMMITTED.read_bytes()) < MAX_BODY_BYTES


def test_cfn_lint_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([linter, COMMITTED], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_settings_become_the_defaults() -> None:
    text = render(StackSettings(lustre_capacity=4800, vpc_name="Ünïcode: 'VPC' #1", primary_subnet_az="us-east-1f"))
    parameters = json.loads(cfn_flip.to_json(text))["Parameters"]
    assert parameters["Capacity"]["Default"] == 4800
    assert parameters["VPCName"]["Default"] == "Ünïcode: 'VPC' #1"
    assert parameters["PrimarySubnetAZ"]["Default"] == "us-east-1f"


def test_settings_name_every_parameter() -> None:
    named = StackSettings(primary_subnet_az="us-east-1a").parameters()
    assert set(named) == set(TEMPLATE["Parameters"])
    assert set(TEMPLATE["Parameters"]) > GUIDE_PARAMETERS


def test_defaults_of_settings_and_template_are_the_same() -> None:
    declared = TEMPLATE["Parameters"].items()
    defaults = {name: str(each["Default"]) for name, each in declared if "Default" in each}
    assert StackSettings().parameters() == defaults


def test_parameters_are_text() -> None:
    settings = StackSettings(
        primary_subnet_az="eu-west-1a",
        create_s3_endpoint=False,
        lustre_deployment_type="SCRATCH_2",
        lustre_throughput=None,
        lustre_metadata_iops=1500,
    )
    parameters = settings.parameters()
    assert parameters["CreateS3Endpoint"] == "false"
    assert parameters["LustreMetadataIops"] == "1500"
    assert parameters["SecondarySubnetAZ"] == ""
    assert "PerUnitStorageThroughput" not in parameters


def test_exports_what_the_guide_exports() -> None:
    outputs = TEMPLATE["Outputs"]
    assert set(outputs) > GUIDE_OUTPUTS
    for name, output in outputs.items():
        assert output["Export"]["Name"] == {"Fn::Sub": f"${{AWS::StackName}}-{name}"}


@pytest.mark.parametrize("resource", ["ElasticIP", "NATGateway", "PublicRoute", "PrivateRouteToInternet"])
def test_what_needs_the_internet_waits_for_the_gateway(resource: str) -> None:
    assert RESOURCES[resource]["DependsOn"] == "GatewayToInternet"


@pytest.mark.parametrize("resource", ["FSxLFilesystem", "OpenZFSFileSystem"])
def test_file_systems_wait_for_the_rules_and_outlive_a_replacement(resource: str) -> None:
    rules = {name for name, each in RESOURCES.items() if each["Type"].startswith("AWS::EC2::SecurityGroup")}
    rules -= {"SecurityGroup"} | DATABASE
    assert set(resolved()(RESOURCES[resource]["Metadata"])["After"]) == rules
    assert resolved(ExistingSecurityGroup="sg-1")(RESOURCES[resource]["Metadata"])["After"] == []
    assert RESOURCES[resource]["UpdateReplacePolicy"] == "Retain"


def test_security_group_is_open_to_itself_only() -> None:
    group = {"Ref": "SecurityGroup"}
    assert "SecurityGroupIngress" not in RESOURCES["SecurityGroup"]["Properties"]
    ingress = [each["Properties"] for each in RESOURCES.values() if each["Type"].endswith("SecurityGroupIngress")]
    assert [(rule["IpProtocol"], rule["SourceSecurityGroupId"]) for rule in ingress] == [("-1", group)]
    egress = [each["Properties"] for each in RESOURCES.values() if each["Type"].endswith("SecurityGroupEgress")]
    assert any(rule.get("DestinationSecurityGroupId") == group for rule in egress)


def test_everything_that_takes_tags_has_a_name() -> None:
    untaggable = {
        "AWS::CloudFormation::WaitConditionHandle",
        "AWS::EC2::VPCCidrBlock",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::EC2::Route",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::IAM::ManagedPolicy",
    }
    for name, resource in RESOURCES.items():
        if resource["Type"] not in untaggable:
            assert [tag["Key"] for tag in resource["Properties"]["Tags"]] == ["Name"], name


def test_endpoint_writes_to_own_account_only() -> None:
    statements = RESOURCES["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"]
    for statement in statements:
        assert not any("*" in action for action in statement["Action"])
        writes = any(action.startswith(("s3:Put", "s3:Delete")) for action in statement["Action"])
        if writes and statement["Resource"] == "*":
            account = {"Ref": "AWS::AccountId"}
            assert statement["Condition"] == {"StringEquals": {"s3:ResourceAccount": account}}


def test_defaults_break_no_rule() -> None:
    assert resolved().broken_rules() == []


@given(
    deployment=st.sampled_from(limits.ASSOCIATION_DEPLOYMENTS),
    storage=st.sampled_from(limits.LUSTRE_STORAGE_TYPES),
    throughput=st.sampled_from(TEMPLATE["Parameters"]["PerUnitStorageThroughput"]["AllowedValues"]),
    version=st.sampled_from(limits.ASSOCIATION_VERSIONS),
    iops=st.sampled_from([None, 1500, 192000]),
    efa=st.booleans(),
)
def test_rules_agree_with_the_limits(
    deployment: str, storage: str, throughput: int, version: str, iops: int | None, efa: bool
) -> None:
    settings = StackSettings(
        lustre_deployment_type=deployment,
        lustre_storage_type=storage,
        lustre_throughput=throughput,
        lustre_version=version,
        lustre_metadata_iops=iops,
        lustre_efa=efa,
    )
    unused = deployment == "SCRATCH_2" and storage == "SSD"  # the template leaves the throughput out
    problem = (
        limits.lustre_storage_problem(deployment, storage)
        or limits.lustre_throughput_problem(deployment, None if unused else throughput, storage)
        or limits.lustre_metadata_problem(deployment, version, iops)
        or (limits.lustre_efa_problem(deployment, 38400, throughput, version) if efa else None)
    )
    broken = resolved(**settings.parameters()).broken_rules()
    assert bool(broken) == bool(problem), (broken, problem)


@given(
    deployment=st.sampled_from(limits.OPENZFS_DEPLOYMENTS),
    throughput=st.sampled_from(TEMPLATE["Parameters"]["OpenZFSThroughput"]["AllowedValues"]),
)
def test_openzfs_rules_agree_with_the_limits(deployment: str, throughput: int) -> None:
    settings = StackSettings(
        primary_subnet_az="a",
        secondary_subnet_az="b",
        openzfs_deployment_type=deployment,
        openzfs_throughput=throughput,
    )
    problem = limits.openzfs_problem(deployment, 512, throughput)
    assert bool(resolved(**settings.parameters()).broken_rules()) == bool(problem)


@pytest.mark.parametrize(("second", "broken"), [("", True), ("us-east-1a", True), ("us-east-1b", False)])
def test_multi_az_needs_another_zone(second: str, broken: bool) -> None:
    settings = StackSettings(primary_subnet_az="us-east-1a", openzfs_deployment_type="MULTI_AZ_1")
    stack = resolved(**replace(settings, secondary_subnet_az=second).parameters())
    assert bool(stack.broken_rules()) is broken


def test_one_zone_makes_no_second_subnet_and_records_no_flows() -> None:
    optional = {"SecondaryPrivateSubnet", "SecondaryPrivateSubnetRTAssociation", "VpcFlowLog", "Nothing", "NodePolicy"}
    optional |= DATABASE
    assert set(RESOURCES) - resolved().resources() == optional | INTERFACES


INTERFACES = {"EcrApiEndpoint", "EcrDockerEndpoint", "SsmEndpoint", "SsmMessagesEndpoint", "Ec2MessagesEndpoint"}


@pytest.mark.parametrize(
    ("parameter", "endpoints"),
    [
        ("CreateS3Endpoint", {"S3Endpoint"}),
        ("CreateDynamoDBEndpoint", {"DynamoDBEndpoint"}),
        ("CreateEcrEndpoints", {"EcrApiEndpoint", "EcrDockerEndpoint"}),
        ("CreateSsmEndpoints", INTERFACES - {"EcrApiEndpoint", "EcrDockerEndpoint"}),
    ],
)
def test_each_group_of_endpoints_is_a_choice(parameter: str, endpoints: set[str]) -> None:
    with_them, without = (resolved(**{parameter: value}).resources() for value in ("true", "false"))
    assert with_them - without == endpoints


def test_interface_endpoints_are_where_the_nodes_are() -> None:
    stack = resolved(CreateEcrEndpoints="true", CreateSsmEndpoints="true")
    for name in INTERFACES:
        endpoint = stack.properties(name)
        assert (endpoint["SubnetIds"], endpoint["SecurityGroupIds"]) == (["PrimaryPrivateSubnet"], ["SecurityGroup"])
        assert endpoint["PrivateDnsEnabled"] is True


def test_a_key_encrypts_every_file_system_that_takes_one() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
    for resource in ("FSxLFilesystem", "OpenZFSFileSystem"):
        assert resolved(KmsKeyArn=key).properties(resource)["KmsKeyId"] == key
        assert "KmsKeyId" not in resolved().properties(resource)
    scratch = resolved(KmsKeyArn=key, LustreDeploymentType="SCRATCH_2")
    assert "KmsKeyId" not in scratch.properties("FSxLFilesystem")


def test_multi_az_names_every_subnet_and_route_table() -> None:
    stack = resolved(OpenZFSDeploymentType="MULTI_AZ_1", SecondarySubnetAZ="us-east-1b")
    assert {"SecondaryPrivateSubnet", "SecondaryPrivateSubnetRTAssociation"} <= stack.resources()
    openzfs = stack.properties("OpenZFSFileSystem")
    assert openzfs["SubnetIds"] == ["PrimaryPrivateSubnet", "SecondaryPrivateSubnet"]
    assert openzfs["OpenZFSConfiguration"]["PreferredSubnetId"] == "PrimaryPrivateSubnet"
    assert openzfs["OpenZFSConfiguration"]["RouteTableIds"] == ["PublicRouteTable", "PrivateRouteTable"]
    single = resolved().properties("OpenZFSFileSystem")
    assert single["SubnetIds"] == ["PrimaryPrivateSubnet"]
    assert {"PreferredSubnetId", "RouteTableIds"}.isdisjoint(single["OpenZFSConfiguration"])


def test_lustre_by_default() -> None:
    lustre = resolved().properties("FSxLFilesystem")
    assert lustre["FileSystemTypeVersion"] == "2.15"
    assert lustre["StorageCapacity"] == "1200"
    assert lustre["LustreConfiguration"] == {
        "DeploymentType": "PERSISTENT_2",
        "PerUnitStorageThroughput": "250",
        "DataCompressionType": "LZ4",
        "MetadataConfiguration": {"Mode": "AUTOMATIC"},
    }


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({"LustreDeploymentType": "SCRATCH_2"}, ("PerUnitStorageThroughput", "MetadataConfiguration")),
        ({"LustreDeploymentType": "PERSISTENT_1"}, ("MetadataConfiguration", "DriveCacheType", "EfaEnabled")),
        ({"LustreVersion": "2.12"}, ("MetadataConfiguration",)),
    ],
    ids=str,
)
def test_lustre_leaves_out_what_its_type_refuses(given: dict[str, str], absent: tuple[str, ...]) -> None:
    assert set(absent).isdisjoint(resolved(**given).properties("FSxLFilesystem")["LustreConfiguration"])


def test_lustre_passes_on_what_its_type_takes() -> None:
    hdd = resolved(LustreDeploymentType="PERSISTENT_1", LustreStorageType="HDD", LustreDriveCacheType="NONE")
    assert hdd.properties("FSxLFilesystem")["LustreConfiguration"]["DriveCacheType"] == "NONE"
    fast = resolved(LustreMetadataIops="12000", LustreEfa="true").properties("FSxLFilesystem")
    metadata = {"Mode": "USER_PROVISIONED", "Iops": "12000"}
    assert fast["LustreConfiguration"]["MetadataConfiguration"] == metadata
    assert fast["LustreConfiguration"]["EfaEnabled"] is True


NETWORK = {"ExistingVpc": "vpc-1", "ExistingPublicSubnet": "subnet-1", "ExistingPrivateSubnet": "subnet-2"}
REST = {
    "ExistingSecurityGroup": "sg-1",
    "ExistingLustre": "fs-1",
    "ExistingLustreMountName": "mount",
    "ExistingOpenZFSVolume": "fsvol-1",
}


def test_an_existing_network_is_used_and_nothing_is_made_in_it() -> None:
    stack = resolved(**NETWORK)
    rules = {name for name in RESOURCES if name.startswith("EFASecurityGroup")}
    assert stack.resources() == {"SecurityGroup", "FSxLFilesystem", "OpenZFSFileSystem"} | rules
    assert stack.properties("SecurityGroup")["VpcId"] == "vpc-1"
    for resource in ("FSxLFilesystem", "OpenZFSFileSystem"):
        assert stack.properties(resource)["SubnetIds"] == ["subnet-2"]
        assert stack.properties(resource)["SecurityGroupIds"] == ["SecurityGroup"]
    assert stack.broken_rules() == []


def test_where_everything_exists_nothing_is_made() -> None:
    stack = resolved(**NETWORK, **REST)
    assert stack.resources() == {"Nothing"}
    assert stack.outputs() == {
        "VPC": "vpc-1",
        "PublicSubnet": "subnet-1",
        "PrimaryPrivateSubnet": "subnet-2",
        "SecurityGroup": "sg-1",
        "FSxLustreFilesystemId": "fs-1",
        "FSxLustreFilesystemMountname": "mount",
        "FSxLustreFilesystemDNSname": "${ExistingLustre}.fsx.${AWS::Region}.${AWS::URLSuffix}",
        "FSxORootVolumeId": "fsvol-1",
    }
    assert stack.broken_rules() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"ExistingVpc": "vpc-1"},
        {"ExistingVpc": "vpc-1", "ExistingPrivateSubnet": "subnet-2"},
        {"ExistingPrivateSubnet": "subnet-2"},
        {"ExistingSecurityGroup": "sg-1"},
        {"ExistingLustre": "fs-1", "ExistingLustreMountName": "mount"},
        {"ExistingOpenZFSVolume": "fsvol-1"},
        NETWORK | {"ExistingLustre": "fs-1"},
        NETWORK | {"SecondarySubnetAZ": "us-east-1b"},
        NETWORK | {"SecondarySubnetAZ": "us-east-1b", "OpenZFSDeploymentType": "MULTI_AZ_1"},
    ],
    ids=str,
)
def test_what_exists_is_named_completely(wrong: dict[str, str]) -> None:
    assert resolved(**wrong).broken_rules()


DATABASE = {name for name in RESOURCES if name.startswith("Database")}
WITH_DATABASE = {"AccountingDatabase": "true", "PrimarySubnetAZ": "us-east-1a", "SecondarySubnetAZ": "us-east-1b"}


def test_a_database_stands_in_both_zones_behind_its_own_group() -> None:
    stack = resolved(**WITH_DATABASE)
    assert stack.resources() >= DATABASE
    assert set(stack.outputs()) >= {"DatabaseUri", "DatabaseUser", "DatabaseSecret", "DatabaseClientGroup"}
    assert stack.properties("DatabaseSubnets")["SubnetIds"] == ["PrimaryPrivateSubnet", "SecondaryPrivateSubnet"]
    (rule,) = stack.properties("DatabaseGroup")["SecurityGroupIngress"]
    assert (rule["SourceSecurityGroupId"], rule["FromPort"], rule["ToPort"]) == ("DatabaseClients", 3306, 3306)
    assert "SecurityGroupIngress" not in stack.properties("DatabaseClients")
    assert stack.properties("DatabaseInstance")["PubliclyAccessible"] is False
    assert stack.properties("DatabaseParameters")["Parameters"]["require_secure_transport"] == "ON"


def test_a_database_is_encrypted_and_outlives_its_deletion() -> None:
    cluster = resolved(**WITH_DATABASE).properties("DatabaseCluster")
    assert cluster["StorageEncrypted"] is True
    assert "KmsKeyId" not in cluster
    key = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
    assert resolved(**WITH_DATABASE, KmsKeyArn=key).properties("DatabaseCluster")["KmsKeyId"] == key
    assert {RESOURCES["DatabaseCluster"][each] for each in ("DeletionPolicy", "UpdateReplacePolicy")} == {"Snapshot"}


def test_the_password_is_generated_and_nowhere_in_the_template() -> None:
    """ParallelCluster takes the whole secret for the password, and MySQL takes up to 41 characters."""
    secret = resolved(**WITH_DATABASE).properties("DatabasePassword")
    assert secret["GenerateSecretString"] == {"PasswordLength": 32, "ExcludePunctuation": True}
    reference = TEMPLATE["Resources"]["DatabaseCluster"]["Properties"]["MasterUserPassword"]
    assert reference == {"Fn::Sub": "{{resolve:secretsmanager:${DatabasePassword}}}"}


@pytest.mark.parametrize("wrong", [{"AccountingDatabase": "true"}, {"AccountingDatabase": "true"} | NETWORK], ids=str)
def test_a_database_without_two_zones_is_refused_before_anything_is_made(wrong: dict[str, str]) -> None:
    assert resolved(**wrong).broken_rules()
    assert resolved(**WITH_DATABASE).broken_rules() == []
    assert not resolved(**wrong).resources() & DATABASE


REPOSITORIES = "arn:aws:ecr:us-east-1:123456789012:repository/a,arn:aws:ecr:us-east-1:123456789012:repository/b"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:team/*"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/team/*"


def statements(**given: str) -> dict[str, dict[str, Any]]:
    """Return the statements of the nodes' policy by their names."""
    document = resolved(NodeRepositoryArns=REPOSITORIES, **given).properties("NodePolicy")["PolicyDocument"]
    return {each["Sid"]: each for each in document["Statement"]}


def test_nodes_pull_the_projects_images_and_what_other_accounts_let_them() -> None:
    found = statements()
    assert found["PullImages"]["Resource"] == REPOSITORIES.split(",")
    assert found["PullWhereOthersLetIn"]["NotResource"] == (
        "arn:${AWS::Partition}:ecr:*:${AWS::AccountId}:repository/*"
    )
    assert "Resource" not in found["PullWhereOthersLetIn"]
    unlimited = {sid for sid, each in found.items() if each.get("Resource") == "*"}
    assert unlimited == {"LogInToRegistries", "AnswerSystemsManager", "SeeWhenCapacityEnds"}


def test_nodes_read_no_secret_unless_it_is_named() -> None:
    reading = ("secretsmanager:", "kms:", "ssm:GetParameter")
    for found in (statements(), statements(KmsKeyArn="")):
        assert not [a for each in found.values() for a in each["Action"] if a.startswith(reading)]
    found = statements(NodeSecretArns=SECRET, NodeParameterArns=PARAMETER)
    assert (found["ReadSecrets"]["Resource"], found["ReadParameters"]["Resource"]) == ([SECRET], [PARAMETER])
    assert set(found["DecryptSecrets"]["Condition"]) == {"StringLike"}
    assert set(found["DecryptSecrets"]["Condition"]["StringLike"]) == {"kms:ViaService"}
    for one in ({"NodeSecretArns": SECRET}, {"NodeParameterArns": PARAMETER}):
        assert ("DecryptSecrets" in statements(**one), len(statements(**one))) == (True, len(found) - 1)


def test_nodes_do_for_systems_manager_what_awss_policy_lets_them_but_read_parameters() -> None:
    policies = pytest.importorskip("moto.iam.aws_managed_policies").aws_managed_policies_data
    aws = json.loads(policies)["AmazonSSMManagedInstanceCore"]["Document"]["Statement"]
    actions = {action for each in aws for action in each["Action"]} - {"ssm:GetParameter", "ssm:GetParameters"}
    assert set(statements()["AnswerSystemsManager"]["Action"]) == actions


def test_the_longest_policy_of_nodes_fits_into_iam() -> None:
    """A project's lists have at most NODE_POLICY_ROOM characters; the rest is measured here."""
    key = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"
    found = statements(NodeSecretArns=SECRET, NodeParameterArns=PARAMETER, KmsKeyArn=key)
    text = json.dumps({"Version": "2012-10-17", "Statement": list(found.values())}, separators=(",", ":"))
    names = {"${AWS::Partition}": "aws-us-gov", "${AWS::AccountId}": "1" * 12, "${AWS::Region}": "us-gov-west-1",
             "${AWS::URLSuffix}": "amazonaws.com.cn"}  # fmt: skip
    for name, value in names.items():
        text = text.replace(name, value)
    listed = sum(len(arn) + 3 for arn in (*REPOSITORIES.split(","), SECRET, PARAMETER))
    assert len(text) - listed + NODE_POLICY_ROOM <= 6144


def test_without_repositories_there_is_no_policy_of_nodes() -> None:
    assert "NodePolicy" not in resolved().resources() | set(resolved().outputs())
    assert resolved(NodeRepositoryArns=REPOSITORIES).outputs()["NodePolicy"] == "NodePolicy"


def test_no_backups_means_no_backup_time() -> None:
    openzfs = resolved(OpenZFSBackupRetentionDays="0").properties("OpenZFSFileSystem")
    assert "DailyAutomaticBackupStartTime" not in openzfs["OpenZFSConfiguration"]


def resolved(**given: str) -> Evaluator:
    return Evaluator(TEMPLATE, given)


ABSENT = object()


class Evaluator:
    """A template with parameters: CloudFormation's functions, as far as the prerequisites template uses them."""

    def __init__(self, template: Mapping[str, Any], given: Mapping[str, str]) -> None:
        assert set(given) <= set(template["Parameters"])
        self.template = template
        defaults = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
        self.values = {**defaults, **given}
        self.functions: dict[str, Callable[[Any], Any]] = {
            "Ref": lambda name: ABSENT if name == "AWS::NoValue" else self.values.get(name, name),
            "Condition": self.holds,
            "Fn::Equals": lambda pair: str(self(pair[0])) == str(self(pair[1])),
            "Fn::Not": lambda one: not self(one[0]),
            "Fn::And": lambda every: all(self(each) for each in every),
            "Fn::Or": lambda some: any(self(each) for each in some),
            "Fn::Contains": lambda pair: self(pair[1]) in self(pair[0]),
            "Fn::If": lambda three: self(three[1] if self.holds(three[0]) else three[2]),
            "Fn::Sub": lambda text: text,
            "Fn::Split": lambda pair: self(pair[1]).split(pair[0]),
        }

    def __call__(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for item in node if (value := self(item)) is not ABSENT]
        if not isinstance(node, dict):
            return node
        name = next(iter(node), "")
        if len(node) == 1 and name in self.functions:
            return self.functions[name](node[name])
        values = {key: self(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not ABSENT}

    def holds(self, condition: str | None) -> bool:
        return condition is None or bool(self(self.template["Conditions"][condition]))

    def broken_rules(self) -> list[str]:
        active = [rule for rule in self.template["Rules"].values() if self(rule["RuleCondition"])]
        assertions = [each for rule in active for each in rule["Assertions"]]
        return [each["AssertDescription"] for each in assertions if not self(each["Assert"])]

    def properties(self, resource: str) -> dict[str, Any]:
        return dict(self(self.template["Resources"][resource]["Properties"]))

    def outputs(self) -> dict[str, Any]:
        found = self.template["Outputs"].items()
        return {name: self(each["Value"]) for name, each in found if self.holds(each.get("Condition"))}

    def resources(self) -> set[str]:
        found = self.template["Resources"].items()
        return {name for name, each in found if self.holds(each.get("Condition"))}
