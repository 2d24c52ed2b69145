"""What CloudFormation does with the caller's rights for each resource of the prerequisites stack.

Source: the CloudFormation registry, the resource types' schemas, ``handlers.create|update|delete.permissions``; a test
compares. AWS::FSx::FileSystem has no handlers there; its actions are those of the FSx API reference.
"""

from __future__ import annotations

ACTIONS: dict[str, str] = {
    "AWS::EC2::EIP": "AllocateAddress AssociateAddress CreateTags DeleteTags DescribeAddresses DisassociateAddress "
    "ReleaseAddress",
    "AWS::EC2::FlowLog": "CreateFlowLogs CreateTags DeleteFlowLogs DeleteTags DescribeFlowLogs DescribeTags "
    "logs:CreateLogDelivery logs:DeleteLogDelivery",
    "AWS::EC2::InternetGateway": "CreateInternetGateway CreateTags DeleteInternetGateway DeleteTags "
    "DescribeInternetGateways",
    "AWS::EC2::NatGateway": "CreateNatGateway CreateTags DeleteNatGateway DeleteTags DescribeNatGateways",
    "AWS::EC2::Route": "CreateRoute DeleteRoute DescribeNetworkInterfaces DescribeRouteTables ReplaceRoute",
    "AWS::EC2::RouteTable": "CreateRouteTable CreateTags DeleteRouteTable DeleteTags DescribeRouteTables",
    "AWS::EC2::SecurityGroup": "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateSecurityGroup "
    "CreateTags DeleteSecurityGroup DeleteTags DescribeInstances DescribeSecurityGroups RevokeSecurityGroupEgress "
    "RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress UpdateSecurityGroupRuleDescriptionsIngress",
    "AWS::EC2::SecurityGroupEgress": "AuthorizeSecurityGroupEgress DescribeSecurityGroupRules "
    "RevokeSecurityGroupEgress UpdateSecurityGroupRuleDescriptionsEgress",
    "AWS::EC2::SecurityGroupIngress": "AuthorizeSecurityGroupIngress DescribeSecurityGroupRules "
    "RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsIngress",
    "AWS::EC2::Subnet": "CreateSubnet CreateTags DeleteSubnet DeleteTags DescribeSubnets ModifySubnetAttribute",
    "AWS::EC2::SubnetRouteTableAssociation": "AssociateRouteTable DescribeRouteTables DescribeSubnets "
    "DisassociateRouteTable ReplaceRouteTableAssociation",
    "AWS::EC2::VPC": "CreateTags CreateVpc DeleteTags DeleteVpc DescribeVpcAttribute DescribeVpcs ModifyVpcAttribute",
    "AWS::EC2::VPCCidrBlock": "AssociateVpcCidrBlock DescribeVpcs DisassociateVpcCidrBlock",
    "AWS::EC2::VPCEndpoint": "CreateTags CreateVpcEndpoint DeleteTags DeleteVpcEndpoints DescribeSecurityGroups "
    "DescribeSubnets DescribeVpcEndpoints DescribeVpcs ModifyVpcEndpoint",
    "AWS::EC2::VPCGatewayAttachment": "AttachInternetGateway DescribeInternetGateways DetachInternetGateway",
    "AWS::IAM::ManagedPolicy": "iam:CreatePolicy iam:CreatePolicyVersion iam:DeletePolicy iam:DeletePolicyVersion "
    "iam:GetPolicy iam:ListEntitiesForPolicy iam:ListPolicyVersions",
    "AWS::FSx::FileSystem": "fsx:CreateFileSystem fsx:DeleteFileSystem fsx:DescribeFileSystems "
    "fsx:ListTagsForResource fsx:TagResource fsx:UntagResource fsx:UpdateFileSystem ec2:GetSecurityGroupsForVpc",
    "AWS::RDS::DBCluster": (
        "ec2:DescribeSecurityGroups rds:AddTagsToResource rds:CreateDBCluster rds:CreateDBClusterSnapshot "
        "rds:CreateDBInstance rds:DeleteDBCluster rds:DeleteDBInstance rds:DescribeDBClusterSnapshots "
        "rds:DescribeDBClusters rds:DescribeDBSubnetGroups rds:DescribeEvents rds:DescribeGlobalClusters "
        "rds:ModifyDBCluster rds:ModifyDBInstance rds:RemoveTagsFromResource secretsmanager:CreateSecret "
        "secretsmanager:TagResource"
    ),
    "AWS::RDS::DBClusterParameterGroup": (
        "rds:AddTagsToResource rds:CreateDBClusterParameterGroup rds:DeleteDBClusterParameterGroup "
        "rds:DescribeDBClusterParameterGroups rds:DescribeDBClusterParameters rds:DescribeDBClusters "
        "rds:DescribeEngineDefaultClusterParameters rds:ListTagsForResource rds:ModifyDBClusterParameterGroup "
        "rds:RemoveTagsFromResource rds:ResetDBClusterParameterGroup"
    ),
    "AWS::RDS::DBInstance": (
        "ec2:DescribeAccountAttributes ec2:DescribeAvailabilityZones ec2:DescribeInternetGateways "
        "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcAttribute ec2:DescribeVpcs "
        "rds:AddTagsToResource rds:CreateDBInstance rds:DeleteDBInstance rds:DescribeDBClusterSnapshots "
        "rds:DescribeDBClusters rds:DescribeDBEngineVersions rds:DescribeDBInstances "
        "rds:DescribeDBParameterGroups rds:DescribeEvents rds:ModifyDBInstance rds:RebootDBInstance "
        "rds:RemoveTagsFromResource secretsmanager:CreateSecret secretsmanager:TagResource"
    ),
    "AWS::RDS::DBSubnetGroup": (
        "rds:AddTagsToResource rds:CreateDBSubnetGroup rds:DeleteDBSubnetGroup rds:DescribeDBSubnetGroups "
        "rds:ListTagsForResource rds:ModifyDBSubnetGroup rds:RemoveTagsFromResource"
    ),
    "AWS::SecretsManager::Secret": (
        "secretsmanager:CreateSecret secretsmanager:DeleteSecret secretsmanager:DescribeSecret "
        "secretsmanager:GetRandomPassword secretsmanager:GetSecretValue secretsmanager:TagResource "
        "secretsmanager:UntagResource secretsmanager:UpdateSecret"
    ),
}

LEFT_OUT: dict[str, str] = {
    "autoscaling:DescribeTags": "for flow logs of Auto Scaling groups",
    "ec2:AcceptAddressTransfer": "for addresses of another account",
    "ec2:AllocateIpamPoolCidr": "for address ranges of an IPAM pool",
    "ec2:AssignPrivateNatGatewayAddress": "for private NAT gateways",
    "ec2:AssociateNatGatewayAddress": "for NAT gateways with several addresses",
    "ec2:AssociateSubnetCidrBlock": "for IPv6",
    "ec2:AttachVpnGateway": "for VPNs",
    "ec2:CreateVpcEncryptionControl": "for VPC encryption controls",
    "ec2:DescribeVpnGateways": "for VPNs",
    "ec2:DetachVpnGateway": "for VPNs",
    "ec2:DisassociateNatGatewayAddress": "for NAT gateways with several addresses",
    "ec2:DisassociateSubnetCidrBlock": "for IPv6",
    "ec2:ModifyVpcTenancy": "for dedicated tenancy",
    "ec2:UnassignPrivateNatGatewayAddress": "for private NAT gateways",
    "iam:AttachGroupPolicy": "the policy of the nodes is attached by clusters, not by this stack",
    "iam:AttachRolePolicy": "the policy of the nodes is attached by clusters, not by this stack",
    "iam:AttachUserPolicy": "the policy of the nodes is attached by clusters, not by this stack",
    "iam:CreateServiceLinkedRole": "made by statements of their own, for FSx and RDS; flow logs here go to S3",
    "iam:DetachGroupPolicy": "the policy of the nodes is detached by clusters, not by this stack",
    "iam:DetachRolePolicy": "the policy of the nodes is detached by clusters, not by this stack",
    "iam:DetachUserPolicy": "the policy of the nodes is detached by clusters, not by this stack",
    "iam:GetRole": "the database has no role: no monitoring, no domain",
    "iam:ListRoles": "the database has no role: no monitoring, no domain",
    "iam:PassRole": "flow logs here go to S3, and the database has no role",
    "kms:CreateGrant": "allowed by a statement of its own, for the project's key",
    "kms:DescribeKey": "allowed by a statement of its own, for the project's key",
    "rds:AddRoleToDBCluster": "the database has no role",
    "rds:AddRoleToDBInstance": "the database has no role",
    "rds:CreateDBInstanceReadReplica": "for read replicas",
    "rds:CreateDBSnapshot": "for instances outside a cluster",
    "rds:DescribeDBClusterAutomatedBackups": "for restoring",
    "rds:DescribeDBInstanceAutomatedBackups": "for restoring",
    "rds:DescribeDBSnapshots": "for restoring",
    "rds:DisableHttpEndpoint": "for RDS's Data API",
    "rds:EnableHttpEndpoint": "for RDS's Data API",
    "rds:PromoteReadReplica": "for read replicas",
    "rds:RemoveFromGlobalCluster": "for global databases",
    "rds:RemoveRoleFromDBCluster": "the database has no role",
    "rds:RemoveRoleFromDBInstance": "the database has no role",
    "rds:RestoreDBClusterFromSnapshot": "for restoring",
    "rds:RestoreDBClusterToPointInTime": "for restoring",
    "rds:RestoreDBInstanceFromDBSnapshot": "for restoring",
    "rds:RestoreDBInstanceToPointInTime": "for restoring",
    "rds:StartDBInstanceAutomatedBackupsReplication": "for backups in another region",
    "rds:StopDBInstanceAutomatedBackupsReplication": "for backups in another region",
    "s3:GetBucketPolicy": "the owner of the flow logs' bucket lets the log delivery service in",
    "s3:PutBucketPolicy": "the owner of the flow logs' bucket lets the log delivery service in",
    "secretsmanager:RemoveRegionsFromReplication": "for secrets of several regions",
    "secretsmanager:ReplicateSecretToRegions": "for secrets of several regions",
    "vpc-lattice:CreateServiceNetworkVpcEndpointAssociation": "for VPC Lattice",
    "vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation": "for VPC Lattice",
    "vpce:AllowMultiRegion": "for endpoints of another region",
}
"""Actions of the schemas that this stack has no use for, and why."""


def actions_of(resource_type: str) -> tuple[str, ...]:
    """Return the IAM actions for one resource type; those without a service are EC2's."""
    names = ACTIONS[resource_type].split()
    return tuple(name if ":" in name else f"ec2:{name}" for name in names)


def all_actions() -> tuple[str, ...]:
    """Return the actions for the whole stack, sorted."""
    return tuple(sorted({action for kind in ACTIONS for action in actions_of(kind)}))
