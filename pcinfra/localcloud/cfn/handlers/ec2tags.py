"""Tags of EC2 resources."""

from __future__ import annotations

from pcinfra.localcloud.cfn.handlers.base import Context


def tag(context: Context, *ids: str) -> None:
    """Give EC2 resources the context's tags and CloudFormation's own."""
    tags = {**context.tags, **context.system_tags()}
    rows = [{"Key": key, "Value": value} for key, value in tags.items()]
    context.client("ec2").create_tags(Resources=list(ids), Tags=rows)


def retag(context: Context, resource_id: str) -> None:
    """Make a resource's tags those of the context; what is no longer wanted is removed."""
    ec2 = context.client("ec2")
    filters = [{"Name": "resource-id", "Values": [resource_id]}]
    present = [row["Key"] for row in ec2.describe_tags(Filters=filters)["Tags"]]
    stale = [{"Key": key} for key in present if key not in context.tags and not key.startswith("aws:")]
    if stale:
        ec2.delete_tags(Resources=[resource_id], Tags=stale)
    tag(context, resource_id)
