"""AWS::SecretsManager types."""

from __future__ import annotations

import json

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names, unique


def _value(context: Context, properties: Json) -> Json:
    """Return the secret's value as the API takes it; nothing where the template gives none.

    Source: AWS::SecretsManager::Secret, GenerateSecretString: the password alone, or under GenerateStringKey in the
    JSON of SecretStringTemplate.
    """
    if "SecretString" in properties:
        return {"SecretString": properties["SecretString"]}
    wanted = dict(properties.get("GenerateSecretString", {}))
    if "GenerateSecretString" not in properties:
        return {}
    template, key = wanted.pop("SecretStringTemplate", None), wanted.pop("GenerateStringKey", None)
    password = context.client("secretsmanager").get_random_password(**wanted)["RandomPassword"]
    return {"SecretString": json.dumps({**json.loads(template), key: password}) if template else password}


def _said(properties: Json) -> Json:
    return {key: properties[key] for key in ("Description", "KmsKeyId") if key in properties}


def _create(context: Context, properties: Json) -> Made:
    name = properties.get("Name") or f"{context.logical_id}-{unique()}"
    arn = context.client("secretsmanager").create_secret(
        Name=name, Tags=context.tag_list(), **_said(properties), **_value(context, properties)
    )["ARN"]
    context.begun(arn)
    return Made(arn, {"Id": arn})


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    """A password is generated anew only where the template asks for another one."""
    client, arn = context.client("secretsmanager"), existing.physical_id
    keys = ("SecretString", "GenerateSecretString")
    changed = any(existing.properties.get(key) != properties.get(key) for key in keys)
    client.update_secret(SecretId=arn, **_said(properties), **(_value(context, properties) if changed else {}))
    present = {tag["Key"] for tag in client.describe_secret(SecretId=arn).get("Tags", [])}
    client.untag_resource(SecretId=arn, TagKeys=sorted(present - set(context.tags)))
    client.tag_resource(SecretId=arn, Tags=context.tag_list())
    return existing.attributes


def _delete(context: Context, existing: Existing) -> None:
    context.client("secretsmanager").delete_secret(SecretId=existing.physical_id, ForceDeleteWithoutRecovery=True)


HANDLERS = (
    Handler(
        "AWS::SecretsManager::Secret",
        names("Name Description KmsKeyId SecretString GenerateSecretString Tags"),
        _create,
        _delete,
        _update,
    ),
)
