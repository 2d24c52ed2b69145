"""What the nodes of every cluster may do, as the statements of an IAM policy.

They are written once, and read twice: by the builder of the template, with CloudFormation's functions, and by who
compares the policy of a stack that stands with what it was made as, with values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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


CONDITIONS = {
    "WithNodePolicy": "NodeRepositoryArns",
    "WithNodeSecrets": "NodeSecretArns",
    "WithNodeParameters": "NodeParameterArns",
}
"""Condition of the template, and the parameter that must not be empty for it."""

EITHER = {"WithSecrets": ("WithNodeSecrets", "WithNodeParameters")}
"""Condition of the template, and those of which one must hold for it."""


class Values(Protocol):
    """How parameters of the stack get into a policy."""

    def ref(self, parameter: str) -> Any:
        """Return the value of a parameter."""

    def sub(self, text: str) -> Any:
        """Return text with ``${AWS::…}`` replaced."""

    def split(self, parameter: str) -> Any:
        """Return the items of a parameter that is a list with commas."""

    def when(self, condition: str, statement: dict[str, Any]) -> Any:
        """Return a statement that is there only where a condition holds."""


@dataclass(frozen=True, slots=True)
class Known:
    """The values of a stack that stands.

    Args:
        parameters: of the stack.
        pseudo: ``Partition``, ``AccountId``, ``Region`` and ``URLSuffix``.
    """

    parameters: Mapping[str, str]
    pseudo: Mapping[str, str]

    def ref(self, parameter: str) -> str:
        return self.parameters.get(parameter, "")

    def sub(self, text: str) -> str:
        for name, value in self.pseudo.items():
            text = text.replace(f"${{AWS::{name}}}", value)
        return text

    def split(self, parameter: str) -> list[str]:
        return self.ref(parameter).split(",")

    def when(self, condition: str, statement: dict[str, Any]) -> dict[str, Any] | None:
        return statement if self._holds(condition) else None

    def _holds(self, condition: str) -> bool:
        if condition in EITHER:
            return any(map(self._holds, EITHER[condition]))
        return bool(self.ref({**CONDITIONS, "WithKmsKey": "KmsKeyArn"}[condition]))


def statements(values: Values) -> list[Any]:
    """One statement for each thing that nodes do.

    Images of other accounts (AWS's Deep Learning Containers, a team's own account) are pulled when the policy of the
    repository there lets this account in: the third statement is all repositories but those of this account. Keys are
    used through the two services alone, for values that the role may read at all. Source: KMS developer guide,
    kms:ViaService.
    """
    ours = values.sub("arn:${AWS::Partition}:ecr:*:${AWS::AccountId}:repository/*")
    services = [values.sub(f"{name}.*.${{AWS::URLSuffix}}") for name in ("secretsmanager", "ssm")]
    via = {"StringLike": {"kms:ViaService": services}}
    own = {"StringEquals": {"kms:ViaService": values.sub("s3.${AWS::Region}.${AWS::URLSuffix}")}}
    read = ("ssm:GetParameter", "ssm:GetParameters")
    made = [
        _allow("LogInToRegistries", ("ecr:GetAuthorizationToken",)),
        _allow("PullImages", (*PULL, "ecr:BatchImportUpstreamImage"), values.split("NodeRepositoryArns")),
        {"Sid": "PullWhereOthersLetIn", "Effect": "Allow", "Action": list(PULL), "NotResource": ours},
        _allow("AnswerSystemsManager", AGENT),
        _allow("SeeWhenCapacityEnds", ("ec2:DescribeCapacityReservations",)),  # no resource-level permissions
        values.when(
            "WithNodeSecrets", _allow("ReadSecrets", ("secretsmanager:GetSecretValue",), values.split("NodeSecretArns"))
        ),
        values.when("WithNodeParameters", _allow("ReadParameters", read, values.split("NodeParameterArns"))),
        values.when("WithSecrets", _allow("DecryptSecrets", ("kms:Decrypt",)) | {"Condition": via}),
        values.when(
            "WithKmsKey", _allow("DecryptBucket", ("kms:Decrypt",), values.ref("KmsKeyArn")) | {"Condition": own}
        ),
    ]
    return [statement for statement in made if statement is not None]


def _allow(sid: str, actions: tuple[str, ...], resource: object = "*") -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}
