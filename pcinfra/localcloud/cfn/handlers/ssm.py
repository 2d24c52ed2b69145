"""AWS::SSM types."""

from __future__ import annotations

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names

KEYS = ("Value", "Type", "Description", "AllowedPattern", "Tier", "DataType")


def _put(context: Context, name: str, properties: Json, *, overwrite: bool) -> None:
    """Source: AWS::SSM::Parameter: CloudFormation cannot make a SecureString."""
    if properties["Type"] == "SecureString":
        raise ResourceFailure("CloudFormation does not support creating a SecureString parameter")
    wanted = {key: properties[key] for key in KEYS if key in properties}
    tags = {"Tags": context.tag_list()} if context.tags and not overwrite else {}
    context.client("ssm").put_parameter(Name=name, Overwrite=overwrite, **wanted, **tags)


def _create(context: Context, properties: Json) -> Made:
    name = properties.get("Name") or f"CFN-{context.logical_id}-{context.name(24)[-12:]}"
    _put(context, name, properties, overwrite=False)
    return Made(name, _attributes(context, name, properties))


def _attributes(context: Context, name: str, properties: Json) -> Json:
    arn = f"arn:aws:ssm:{context.region}:{context.account}:parameter/{name.lstrip('/')}"
    return {"Type": properties["Type"], "Value": properties["Value"], "Arn": arn}


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    ssm, name = context.client("ssm"), existing.physical_id
    _put(context, name, properties, overwrite=True)
    found = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
    stale = [tag["Key"] for tag in found if tag["Key"] not in context.tags]
    if stale:
        ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=name, TagKeys=stale)
    if context.tags:
        ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=context.tag_list())
    return _attributes(context, name, properties)


def _delete(context: Context, existing: Existing) -> None:
    context.client("ssm").delete_parameter(Name=existing.physical_id)


HANDLERS = (Handler("AWS::SSM::Parameter", frozenset(KEYS) | names("Name Tags"), _create, _delete, _update),)
