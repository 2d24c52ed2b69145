"""One module per service; :func:`handler` finds the one for a resource type."""

from __future__ import annotations

from functools import lru_cache

from pcinfra.localcloud.cfn.handlers.base import Handler

CUSTOM = "AWS::CloudFormation::CustomResource"


@lru_cache(maxsize=1)
def registry() -> dict[str, Handler]:
    """Every handler by resource type."""
    from pcinfra.localcloud.cfn.handlers import (
        autoscaling,
        awslambda,
        cloudformation,
        cloudwatch,
        custom,
        dynamodb,
        ec2,
        ecr,
        efs,
        fsx,
        iam,
        instances,
        loadbalancing,
        logs,
        rds,
        route53,
        s3,
        secretsmanager,
        security,
        ssm,
        vpc,
    )

    modules = (
        autoscaling, awslambda, cloudformation, cloudwatch, custom, dynamodb, ec2, ecr, efs, fsx, iam, instances,
        loadbalancing, logs, rds, route53, s3, secretsmanager, security, ssm, vpc,
    )  # fmt: skip
    return {entry.type: entry for module in modules for entry in module.HANDLERS}


def handler(resource_type: str) -> Handler | None:
    """The handler of a type; every ``Custom::`` type is a custom resource."""
    return registry().get(CUSTOM if resource_type.startswith("Custom::") else resource_type)
