"""AWS::CloudFormation types: nested stacks and wait conditions."""

from __future__ import annotations

import json
import secrets

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names, unique
from pcinfra.localcloud.cfn.hooks import WaitCondition
from pcinfra.localcloud.cfn.intrinsics import text_of

MAX_TIMEOUT = 43_200


def _child_name(context: Context) -> str:
    """Source: nested stacks are named parent-logical id-12 random characters; stack names end at 128."""
    return f"{context.stack.name}-{context.logical_id}"[:115] + f"-{unique()}"


def _parameters(properties: Json) -> dict[str, str]:
    return {key: text_of(value) for key, value in properties.get("Parameters", {}).items()}


def _own_tags(properties: Json) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}


def _outputs(rows: list[Json]) -> Json:
    return {f"Outputs.{row['OutputKey']}": row["OutputValue"] for row in rows}


def _create_stack(context: Context, properties: Json) -> Made:
    child = context.nested.create(
        _child_name(context), properties["TemplateURL"], _parameters(properties), _own_tags(properties)
    )
    context.begun(child.stack_id)
    context.nested.run(child)
    return Made(child.stack_id, {"StackId": child.stack_id, **_outputs(child.outputs)})


def _update_stack(context: Context, existing: Existing, properties: Json) -> Json:
    child = context.nested.update(
        existing.physical_id, properties["TemplateURL"], _parameters(properties), _own_tags(properties)
    )
    return {"StackId": child.stack_id, **_outputs(child.outputs)}


def _delete_stack(context: Context, existing: Existing) -> None:
    context.nested.delete(existing.physical_id)


def _create_handle(context: Context, _properties: Json) -> Made:
    """Source: AWS::CloudFormation::WaitConditionHandle: Ref returns a presigned S3 address to signal to."""
    url = (
        f"https://cloudformation-waitcondition-{context.region}.s3.amazonaws.com/"
        f"{context.stack.stack_id}/{context.logical_id}?signature={secrets.token_hex(8)}"
    )
    return Made(url, {"Id": url})


def _wait(context: Context, properties: Json) -> Made:
    """Source: AWS::CloudFormation::WaitCondition: Timeout at most 43,200 seconds; Data is the signals as JSON."""
    timeout = int(properties.get("Timeout", MAX_TIMEOUT))
    if not 0 <= timeout <= MAX_TIMEOUT:
        raise ResourceFailure(f"Timeout must be between 0 and {MAX_TIMEOUT} seconds")
    physical = f"{context.stack.stack_id}/{context.logical_id}/{unique()}"
    context.begun(physical)
    condition = WaitCondition(
        stack_name=context.stack.name,
        stack_id=context.stack.stack_id,
        logical_id=context.logical_id,
        account=context.account,
        region=context.region,
        parameters=dict(context.parameters),
        timeout=timeout,
        resource=context.resources,
        client=context.client,
        cancelled=context.cancelled,
    )
    context.poll(context.settled)
    try:
        data = context.hooks.wait_condition(condition)
    except Exception as error:
        if context.cancelled():
            raise
        raise ResourceFailure(str(error)) from error
    return Made(physical, {"Id": physical, "Data": json.dumps(dict(data))})


def _keep_waiting(_context: Context, existing: Existing, _properties: Json) -> Json:
    """Source: "Updates aren't supported" (AWS::CloudFormation::WaitCondition)."""
    raise ResourceFailure("Update to resource type AWS::CloudFormation::WaitCondition is not supported.")


HANDLERS = (
    Handler(
        "AWS::CloudFormation::Stack", names("TemplateURL Parameters Tags"), _create_stack, _delete_stack, _update_stack
    ),
    Handler("AWS::CloudFormation::WaitConditionHandle", names(""), _create_handle),
    Handler("AWS::CloudFormation::WaitCondition", names("Count Handle Timeout"), _wait, update=_keep_waiting),
)
