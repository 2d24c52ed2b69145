"""What the nodes of every cluster may do: one IAM policy of the project's own, beside what ParallelCluster gives them.

It has no name of its own, so that CAPABILITY_IAM is enough and the same stack can be made twice; its path and its
description never change, because changing one would make another policy while roles hold on to this one. The path
begins with /parallelcluster/, which the policies that ParallelCluster publishes for its users let them attach.
"""

from __future__ import annotations

from typing import Any

from troposphere import Condition, Equals, If, Not, NoValue, Or, Ref, Split, Sub, Template, iam

from pcinfra.stacks.settings import NODE_POLICY, NODE_POLICY_PATH

AGENT = (
    "ssm:DescribeAssociation",
    "ssm:GetDeployablePatchSnapshotForInstance",
    "ssm:GetDocument",
    "ssm:DescribeDocument",
    "ssm:GetManifest",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:PutInventory",
    "ssm:PutComplianceItems",
    "ssm:PutConfigurePackageResult",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
)
"""AWS's AmazonSSMManagedInstanceCore without the reading of every parameter of the account."""

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def add_node_policy(template: Template) -> None:
    """Add the policy, made where ``NodeRepositoryArns`` names repositories."""
    for name, parameter in CONDITIONS.items():
        template.add_condition(name, Not(Equals(Ref(parameter), "")))
    template.add_condition("WithSecrets", Or(*map(Condition, ("WithNodeSecrets", "WithNodeParameters"))))
    template.add_resource(
        iam.ManagedPolicy(
            NODE_POLICY,
            Condition="WithNodePolicy",
            Description="What the nodes of the project's clusters may do",
            Path=Sub(NODE_POLICY_PATH.format(region="${AWS::Region}", stack="${AWS::StackName}")),
            PolicyDocument={"Version": "2012-10-17", "Statement": _statements()},
        )
    )


CONDITIONS = {
    "WithNodePolicy": "NodeRepositoryArns",
    "WithNodeSecrets": "NodeSecretArns",
    "WithNodeParameters": "NodeParameterArns",
}


def _statements() -> list[Any]:
    """One statement for each thing that nodes do.

    Images of other accounts (AWS's Deep Learning Containers, a team's own account) are pulled when the policy of the
    repository there lets this account in: the third statement is all repositories but those of this account. Keys are
    used through the two services alone, for values that the role may read at all. Source: KMS developer guide,
    kms:ViaService.
    """
    ours = Sub("arn:${AWS::Partition}:ecr:*:${AWS::AccountId}:repository/*")
    services = [Sub(f"{name}.*.${{AWS::URLSuffix}}") for name in ("secretsmanager", "ssm")]
    via = {"StringLike": {"kms:ViaService": services}}
    own = {"StringEquals": {"kms:ViaService": Sub("s3.${AWS::Region}.${AWS::URLSuffix}")}}
    read = ("ssm:GetParameter", "ssm:GetParameters")
    return [
        _allow("LogInToRegistries", ("ecr:GetAuthorizationToken",)),
        _allow("PullImages", (*PULL, "ecr:BatchImportUpstreamImage"), _listed("NodeRepositoryArns")),
        {"Sid": "PullWhereOthersLetIn", "Effect": "Allow", "Action": list(PULL), "NotResource": ours},
        _allow("AnswerSystemsManager", AGENT),
        _allow("SeeWhenCapacityEnds", ("ec2:DescribeCapacityReservations",)),  # no resource-level permissions
        _if("WithNodeSecrets", _allow("ReadSecrets", ("secretsmanager:GetSecretValue",), _listed("NodeSecretArns"))),
        _if("WithNodeParameters", _allow("ReadParameters", read, _listed("NodeParameterArns"))),
        _if("WithSecrets", _allow("DecryptSecrets", ("kms:Decrypt",)) | {"Condition": via}),
        _if("WithKmsKey", _allow("DecryptBucket", ("kms:Decrypt",), Ref("KmsKeyArn")) | {"Condition": own}),
    ]


def _allow(sid: str, actions: tuple[str, ...], resource: object = "*") -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _listed(parameter: str) -> Split:
    return Split(",", Ref(parameter))


def _if(condition: str, statement: dict[str, Any]) -> If:
    return If(condition, statement, NoValue)
