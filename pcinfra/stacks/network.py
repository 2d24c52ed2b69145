"""The network of the prerequisites stack: VPC, subnets, gateways, routes, endpoint and security group.

Logical ids are those of the guide's template, so that a stack made from it is updated instead of replaced.
"""

from __future__ import annotations

from typing import Any

from troposphere import (
    And,
    AWSObject,
    Condition,
    Equals,
    GetAtt,
    If,
    Not,
    Ref,
    Sub,
    Tags,
    Template,
    ec2,
)

READ_ACTIONS = (
    "s3:GetBucketLocation",
    "s3:GetObject",
    "s3:GetObjectAttributes",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
)
WRITE_ACTIONS = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectTagging",
)


def add_network(template: Template) -> None:
    """Add the network with one zone, and a second private subnet when ``SecondarySubnetAZ`` names a zone."""
    for name, parameter in NEW.items():
        template.add_condition(name, Equals(Ref(parameter), ""))
    wanted = {f"With{name}": Equals(Ref(f"Create{name}"), "true") for name in ENDPOINTS}
    wanted["WithSecondZone"] = Not(Equals(Ref("SecondarySubnetAZ"), ""))
    wanted["WithFlowLogs"] = Not(Equals(Ref("FlowLogsBucketArn"), ""))
    for name, test in wanted.items():
        template.add_condition(name, And(Condition("NewNetwork"), test))
    for resource in (*_vpc(), *_gateways(), *_subnets(), *_routes(), *_endpoints()):
        template.add_resource(_only_if("NewNetwork", resource))
    for resource in _security_group():
        template.add_resource(_only_if("NewSecurityGroup", resource))


NEW = {
    "NewNetwork": "ExistingVpc",
    "NewSecurityGroup": "ExistingSecurityGroup",
    "NewLustre": "ExistingLustre",
    "NewOpenZFS": "ExistingOpenZFSVolume",
}
"""Conditions, and the parameters that turn them off: what exists is used and not made."""

ENDPOINTS = ("S3Endpoint", "DynamoDBEndpoint", "EcrEndpoints", "SsmEndpoints")


def _only_if(condition: str, resource: AWSObject) -> AWSObject:
    """Return the resource, made under ``condition`` if it has none of its own that is narrower."""
    if "Condition" not in resource.resource:
        resource.Condition = condition
    return resource


def made_or(condition: str, resource: str, parameter: str) -> If:
    """Return a reference to ``resource`` where it is made, and else the id in ``parameter``."""
    return If(condition, Ref(resource), Ref(parameter))


VPC = made_or("NewNetwork", "VPC", "ExistingVpc")
PRIVATE_SUBNET = made_or("NewNetwork", "PrimaryPrivateSubnet", "ExistingPrivateSubnet")
PUBLIC_SUBNET = made_or("NewNetwork", "PublicSubnet", "ExistingPublicSubnet")
SECURITY_GROUP = made_or("NewSecurityGroup", "SecurityGroup", "ExistingSecurityGroup")


def named(suffix: str) -> Tags:
    """Return a Name tag: the VPC's name and ``suffix``. Project and stage come from the stack's own tags."""
    return Tags(Name=Sub(f"${{VPCName}} {suffix}"))


def _vpc() -> list[AWSObject]:
    return [
        ec2.VPC(
            "VPC",
            CidrBlock=Ref("VpcCidr"),
            EnableDnsSupport=True,
            EnableDnsHostnames=True,
            Tags=Tags(Name=Ref("VPCName")),
        ),
        ec2.VPCCidrBlock("VpcCidrBlock", VpcId=Ref("VPC"), CidrBlock=Ref("PrivateCidr")),
        ec2.FlowLog(
            "VpcFlowLog",
            Condition="WithFlowLogs",
            ResourceType="VPC",
            ResourceId=Ref("VPC"),
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination=Ref("FlowLogsBucketArn"),
            Tags=named("flow log"),
        ),
    ]


def _gateways() -> list[AWSObject]:
    """The EIP, the NAT gateway and the public route wait for the attachment.

    Without that, creation now and then fails with "belong to different networks" or on the address. Source:
    CloudFormation user guide, DependsOn attribute, "When a DependsOn attribute is required".
    """
    return [
        ec2.InternetGateway("InternetGateway", Tags=named("internet gateway")),
        ec2.VPCGatewayAttachment("GatewayToInternet", VpcId=Ref("VPC"), InternetGatewayId=Ref("InternetGateway")),
        ec2.EIP("ElasticIP", DependsOn="GatewayToInternet", Domain="vpc", Tags=named("NAT address")),
        ec2.NatGateway(
            "NATGateway",
            DependsOn="GatewayToInternet",
            AllocationId=GetAtt("ElasticIP", "AllocationId"),
            SubnetId=Ref("PublicSubnet"),
            Tags=named("NAT gateway"),
        ),
    ]


def _subnets() -> list[AWSObject]:
    return [
        ec2.Subnet(
            "PublicSubnet",  # the head node lives here, and reaches AWS by its own public address
            VpcId=Ref("VPC"),
            CidrBlock=Ref("PublicSubnetCidr"),
            AvailabilityZone=Ref("PrimarySubnetAZ"),
            MapPublicIpOnLaunch=True,
            Tags=named("Public Subnet - ${PrimarySubnetAZ}"),
        ),
        _private_subnet("PrimaryPrivateSubnet", "PrimarySubnetAZ"),
        _private_subnet("SecondaryPrivateSubnet", "SecondarySubnetAZ", Condition="WithSecondZone"),
    ]


def _private_subnet(title: str, zone: str, **attributes: Any) -> ec2.Subnet:
    return ec2.Subnet(
        title,
        DependsOn="VpcCidrBlock",
        VpcId=Ref("VPC"),
        CidrBlock=Ref(f"{title}Cidr"),
        AvailabilityZone=Ref(zone),
        MapPublicIpOnLaunch=False,
        Tags=named(f"Private Subnet - ${{{zone}}}"),
        **attributes,
    )


def _routes() -> list[AWSObject]:
    return [
        ec2.RouteTable("PublicRouteTable", VpcId=Ref("VPC"), Tags=named("public routes")),
        ec2.Route(
            "PublicRoute",
            DependsOn="GatewayToInternet",
            RouteTableId=Ref("PublicRouteTable"),
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=Ref("InternetGateway"),
        ),
        ec2.RouteTable("PrivateRouteTable", VpcId=Ref("VPC"), Tags=named("private routes")),
        ec2.Route(
            "PrivateRouteToInternet",
            DependsOn="GatewayToInternet",
            RouteTableId=Ref("PrivateRouteTable"),
            DestinationCidrBlock="0.0.0.0/0",
            NatGatewayId=Ref("NATGateway"),
        ),
        _association("PublicSubnetRouteTableAssociation", "PublicSubnet", "PublicRouteTable"),
        _association("PrimaryPrivateSubnetRTAssociation", "PrimaryPrivateSubnet", "PrivateRouteTable"),
        _association(
            "SecondaryPrivateSubnetRTAssociation",
            "SecondaryPrivateSubnet",
            "PrivateRouteTable",
            Condition="WithSecondZone",
        ),
    ]


def _association(title: str, subnet: str, table: str, **attributes: Any) -> ec2.SubnetRouteTableAssociation:
    return ec2.SubnetRouteTableAssociation(title, SubnetId=Ref(subnet), RouteTableId=Ref(table), **attributes)


def _endpoints() -> list[AWSObject]:
    """Ways to AWS that spare the NAT gateway.

    Those of S3 and DynamoDB are routes and free. The others are network interfaces, billed by the hour; what
    ParallelCluster's nodes call when they have a public or a NAT route needs none of them. Source: VPC user guide,
    "Gateway endpoints"; ECR user guide, "Interface VPC endpoints" (api and dkr); Systems Manager user guide, "Improve
    the security of EC2 instances by using VPC endpoints" (ssm, ssmmessages, ec2messages).
    """
    return [
        _gateway_endpoint("S3Endpoint", "s3", "WithS3Endpoint", _s3_statements()),
        _gateway_endpoint("DynamoDBEndpoint", "dynamodb", "WithDynamoDBEndpoint", _dynamodb_statements()),
        _interface_endpoint("EcrApiEndpoint", "ecr.api", "WithEcrEndpoints"),
        _interface_endpoint("EcrDockerEndpoint", "ecr.dkr", "WithEcrEndpoints"),
        _interface_endpoint("SsmEndpoint", "ssm", "WithSsmEndpoints"),
        _interface_endpoint("SsmMessagesEndpoint", "ssmmessages", "WithSsmEndpoints"),
        _interface_endpoint("Ec2MessagesEndpoint", "ec2messages", "WithSsmEndpoints"),
    ]


def _gateway_endpoint(title: str, service: str, condition: str, statements: list[dict[str, Any]]) -> ec2.VPCEndpoint:
    return ec2.VPCEndpoint(
        title,
        Condition=condition,
        VpcEndpointType="Gateway",
        VpcId=Ref("VPC"),
        ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
        RouteTableIds=[Ref("PublicRouteTable"), Ref("PrivateRouteTable")],
        PolicyDocument={"Version": "2012-10-17", "Statement": statements},
        Tags=named(f"{service} endpoint"),
    )


def _interface_endpoint(title: str, service: str, condition: str) -> ec2.VPCEndpoint:
    """In one zone: a second interface would cost as much again, and the nodes are in the first zone."""
    return ec2.VPCEndpoint(
        title,
        Condition=condition,
        VpcEndpointType="Interface",
        VpcId=Ref("VPC"),
        ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
        SubnetIds=[Ref("PrimaryPrivateSubnet")],
        SecurityGroupIds=[SECURITY_GROUP],
        PrivateDnsEnabled=True,
        Tags=named(f"{service} endpoint"),
    )


def _dynamodb_statements() -> list[dict[str, Any]]:
    """Tables of this account only: nobody else's are ParallelCluster's."""
    ours = {"StringEquals": {"aws:ResourceAccount": Ref("AWS::AccountId")}}
    return [_allow("OwnTables", ("dynamodb:*",), "*") | {"Condition": ours}]


def _s3_statements() -> list[dict[str, Any]]:
    """Read anywhere, write in this account only: what leaves through the endpoint stays ours.

    Reading cannot be narrowed to buckets: package mirrors, image layers of ECR, the SSM agent, ParallelCluster's
    cookbooks and public data sets lie in buckets of AWS and others, with names that change by region. Who may
    read or write what is still decided by IAM and bucket policies. The last statement is how an instance tells
    CloudFormation that it is ready. Source: CloudFormation user guide, Setting up VPC endpoints.
    """
    signals = Sub("arn:${AWS::Partition}:s3:::cloudformation-waitcondition-${AWS::Region}/*")
    ours = {"StringEquals": {"s3:ResourceAccount": Ref("AWS::AccountId")}}
    return [
        _allow("ReadAnyBucket", READ_ACTIONS, "*"),
        _allow("WriteOwnBuckets", WRITE_ACTIONS, "*") | {"Condition": ours},
        _allow("SignalCloudFormation", ("s3:PutObject",), signals),
        _allow("ListOwnBuckets", ("s3:ListAllMyBuckets",), "*"),
    ]


def _allow(sid: str, actions: tuple[str, ...], resource: object) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": "*", "Action": list(actions), "Resource": resource}


def _security_group() -> list[AWSObject]:
    """One group for nodes and file systems, open to itself and to nothing else inbound.

    EFA needs every protocol to and from the group itself; a rule for 0.0.0.0/0 is not enough. Source: EC2 user
    guide, Get started with EFA, "Prepare an EFA-enabled security group". The outbound rule is for package
    mirrors, registries and AWS's APIs, most of which have no fixed addresses. FSx checks the rules when it
    makes a file system, so the file systems wait for them. The ports say nothing with protocol -1; they and the
    group's description stay as in the guide's template, because changing them would replace the group.
    """
    every: dict[str, Any] = {
        "IpProtocol": "-1",
        "FromPort": -1,
        "ToPort": -1,
        "GroupId": Ref("SecurityGroup"),
        "Metadata": {"cfn-lint": {"config": {"ignore_checks": ["W3687"]}}},
    }
    return [
        ec2.SecurityGroup(
            "SecurityGroup",
            GroupDescription="Allow EFA communication for Multi-Node Parallel Batch jobs",
            VpcId=VPC,
            Tags=named("nodes and file systems"),
        ),
        ec2.SecurityGroupIngress(
            "EFASecurityGroupIngress",
            Description="Everything from the group itself: EFA, Lustre, NFS, Slurm",
            SourceSecurityGroupId=Ref("SecurityGroup"),
            **every,
        ),
        ec2.SecurityGroupEgress(
            "EFASecurityGroupEgress",
            Description="Everything to the group itself: EFA asks for it by name",
            DestinationSecurityGroupId=Ref("SecurityGroup"),
            **every,
        ),
        ec2.SecurityGroupEgress(
            "EFASecurityGroupEgressECS",
            Description="Packages, registries and AWS APIs through the NAT gateway",
            CidrIp="0.0.0.0/0",
            **every,
        ),
    ]


SECURITY_RULES = ("EFASecurityGroupIngress", "EFASecurityGroupEgress", "EFASecurityGroupEgressECS")


def after_rules() -> dict[str, Any]:
    """Return the Metadata of what waits for the rules, where there are any.

    DependsOn cannot name what a condition may leave out; a reference in Metadata can. Source: cloudonaut.io,
    "Optional DependsOn with CloudFormation: Metadata to the rescue".
    """
    return {"After": If("NewSecurityGroup", [Ref(name) for name in SECURITY_RULES], [])}
