"""AWS::DynamoDB types."""

from __future__ import annotations

from pcinfra.localcloud.cfn.handlers.base import (
    Context,
    Existing,
    Handler,
    Json,
    Made,
    fit,
    handler_failure,
    input_shape,
    names,
)

KEYS = names(
    "AttributeDefinitions KeySchema BillingMode ProvisionedThroughput GlobalSecondaryIndexes LocalSecondaryIndexes"
    " StreamSpecification DeletionProtectionEnabled"
)


def _create(context: Context, properties: Json) -> Made:
    client = context.client("dynamodb")
    name = properties.get("TableName") or context.name(255)
    wanted = {key: value for key, value in properties.items() if key in KEYS} | {"TableName": name}
    tags = {"Tags": context.tag_list()} if context.tags else {}
    row = client.create_table(**fit(wanted, input_shape(client, "CreateTable"), "Table"), **tags)["TableDescription"]
    context.begun(name)
    context.poll(lambda: client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE")
    return Made(name, {"Arn": row["TableArn"], "StreamArn": row.get("LatestStreamArn", "")})


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    """Capacity and deletion protection change in place here; indexes and streams do not."""
    client, name = context.client("dynamodb"), existing.physical_id
    changed = {key for key in KEYS if properties.get(key) != existing.properties.get(key)}
    simple = {"BillingMode", "ProvisionedThroughput", "DeletionProtectionEnabled"}
    if changed - simple:
        missing = sorted(changed - simple)[0]
        raise handler_failure(f"not implemented by the local cloud: changing {missing} of a table")
    wanted = {key: properties[key] for key in changed if key in properties}
    if wanted:
        client.update_table(TableName=name, **fit(wanted, input_shape(client, "UpdateTable"), "Table"))
    arn = existing.attributes["Arn"]
    present = {tag["Key"] for tag in client.list_tags_of_resource(ResourceArn=arn).get("Tags", [])}
    if present - set(context.tags):
        client.untag_resource(ResourceArn=arn, TagKeys=sorted(present - set(context.tags)))
    if context.tags:
        client.tag_resource(ResourceArn=arn, Tags=context.tag_list())
    return existing.attributes


def _delete(context: Context, existing: Existing) -> None:
    context.client("dynamodb").delete_table(TableName=existing.physical_id)


HANDLERS = (Handler("AWS::DynamoDB::Table", KEYS | names("TableName Tags"), _create, _delete, _update),)
