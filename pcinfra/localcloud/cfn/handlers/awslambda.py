"""AWS::Lambda types. The functions are moto's; ``custom`` runs their code when a custom resource calls them."""

from __future__ import annotations

import io
import secrets
import zipfile

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names

KEYS = (
    "Description", "Handler", "MemorySize", "Role", "Runtime", "Timeout", "Environment", "Layers", "VpcConfig",
    "Architectures", "EphemeralStorage",
)  # fmt: skip


def _code(properties: Json) -> Json:
    """Source: AWS::Lambda::Function Code: inline text becomes index.py (or index.js) of the package."""
    code = properties["Code"]
    if "ZipFile" not in code:
        return {key: code[key] for key in ("S3Bucket", "S3Key", "S3ObjectVersion") if key in code}
    buffer = io.BytesIO()
    suffix = "js" if str(properties.get("Runtime", "")).startswith("nodejs") else "py"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"index.{suffix}", code["ZipFile"])
    return {"ZipFile": buffer.getvalue()}


def _create(context: Context, properties: Json) -> Made:
    client = context.client("lambda")
    name = properties.get("FunctionName") or context.name()
    wanted = {key: properties[key] for key in KEYS if key in properties}
    arn = client.create_function(
        FunctionName=name, Code=_code(properties), Tags={**context.tags, **context.system_tags()}, **wanted
    )["FunctionArn"]
    context.begun(name)
    return Made(name, {"Arn": arn})


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    client, name = context.client("lambda"), existing.physical_id
    if properties["Code"] != existing.properties["Code"]:
        client.update_function_code(FunctionName=name, **_code(properties))
    changed = {
        key: properties[key] for key in KEYS if key in properties and properties[key] != existing.properties.get(key)
    }
    changed.pop("Architectures", None)
    if changed:
        client.update_function_configuration(FunctionName=name, **changed)
    if context.tags:
        client.tag_resource(Resource=existing.attributes["Arn"], Tags=dict(context.tags))
    return existing.attributes


def _delete(context: Context, existing: Existing) -> None:
    context.client("lambda").delete_function(FunctionName=existing.physical_id)


def _permit(context: Context, properties: Json) -> Made:
    statement = f"{context.stack.name[:40]}-{context.logical_id[:40]}-{secrets.token_hex(6)}"
    extra = {key: properties[key] for key in ("SourceAccount", "SourceArn") if key in properties}
    context.client("lambda").add_permission(
        FunctionName=properties["FunctionName"],
        StatementId=statement,
        Action=properties["Action"],
        Principal=properties["Principal"],
        **extra,
    )
    return Made(statement, {"Id": statement})


def _forbid(context: Context, existing: Existing) -> None:
    context.client("lambda").remove_permission(
        FunctionName=existing.properties["FunctionName"], StatementId=existing.physical_id
    )


HANDLERS = (
    Handler("AWS::Lambda::Function", frozenset(KEYS) | names("FunctionName Code Tags"), _create, _delete, _update),
    Handler(
        "AWS::Lambda::Permission", names("FunctionName Action Principal SourceAccount SourceArn"), _permit, _forbid
    ),
)
