"""AWS::IAM types."""

from __future__ import annotations

import json
from typing import Any

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, is_gone, names, unique


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _create_role(context: Context, properties: Json) -> Made:
    iam = context.client("iam")
    name = properties.get("RoleName") or context.name()
    wanted = {
        key: properties[key]
        for key in ("Description", "MaxSessionDuration", "PermissionsBoundary", "Path")
        if key in properties
    }
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=_text(properties["AssumeRolePolicyDocument"]),
        Tags=context.tag_list(),
        **wanted,
    )["Role"]
    context.begun(name)
    _set_role_policies(context, name, {}, properties)
    return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _inline(properties: Json) -> dict[str, str]:
    return {row["PolicyName"]: _text(row["PolicyDocument"]) for row in properties.get("Policies", [])}


def _set_role_policies(context: Context, role: str, old: Json, new: Json) -> None:
    iam = context.client("iam")
    for arn in set(old.get("ManagedPolicyArns", [])) - set(new.get("ManagedPolicyArns", [])):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in new.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    for name in set(_inline(old)) - set(_inline(new)):
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    for name, document in _inline(new).items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)


def _update_role(context: Context, existing: Existing, properties: Json) -> Json:
    iam, name = context.client("iam"), existing.physical_id
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=_text(properties["AssumeRolePolicyDocument"]))
    settings = {key: properties[key] for key in ("Description", "MaxSessionDuration") if key in properties}
    if settings:
        iam.update_role(RoleName=name, **settings)
    if "PermissionsBoundary" in properties:
        iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=properties["PermissionsBoundary"])
    elif "PermissionsBoundary" in existing.properties:
        iam.delete_role_permissions_boundary(RoleName=name)
    _set_role_policies(context, name, existing.properties, properties)
    present = {tag["Key"] for tag in iam.list_role_tags(RoleName=name)["Tags"]}
    iam.untag_role(RoleName=name, TagKeys=sorted(present - set(context.tags)))
    iam.tag_role(RoleName=name, Tags=context.tag_list())
    return existing.attributes


def _delete_role(context: Context, existing: Existing) -> None:
    """Detach what the template attached; anything attached by hand makes DeleteRole fail with DeleteConflict."""
    iam, name = context.client("iam"), existing.physical_id
    attached = {row["PolicyArn"] for row in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]}
    for arn in attached & set(existing.properties.get("ManagedPolicyArns", [])):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    for policy in set(iam.list_role_policies(RoleName=name)["PolicyNames"]) & set(_inline(existing.properties)):
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


PRINCIPALS = {"Roles": "role", "Users": "user", "Groups": "group"}


def _each(properties: Json) -> list[tuple[str, str]]:
    return [(kind, name) for key, kind in PRINCIPALS.items() for name in properties.get(key, [])]


def _put_policy(context: Context, properties: Json) -> None:
    for kind, name in _each(properties):
        call = getattr(context.client("iam"), f"put_{kind}_policy")
        call(
            **{f"{kind.capitalize()}Name": name},
            PolicyName=properties["PolicyName"],
            PolicyDocument=_text(properties["PolicyDocument"]),
        )


def _create_policy(context: Context, properties: Json) -> Made:
    """Source: AWS::IAM::Policy: at least one of Roles, Users and Groups is needed."""
    if not _each(properties):
        raise ResourceFailure("At least one of [Groups,Roles,Users] must be non-empty.")
    physical = f"{context.stack.name[:5]}-{context.logical_id[:4]}-{unique()}"
    context.begun(physical)
    _put_policy(context, properties)
    return Made(physical, {"Id": physical})


def _update_policy(context: Context, existing: Existing, properties: Json) -> Json:
    _put_policy(context, properties)
    renamed = properties["PolicyName"] != existing.properties["PolicyName"]
    stale = [row for row in _each(existing.properties) if renamed or row not in _each(properties)]
    _drop_policy(context, existing.properties["PolicyName"], stale)
    return existing.attributes


def _drop_policy(context: Context, policy: str, principals: list[tuple[str, str]]) -> None:
    for kind, name in principals:
        call = getattr(context.client("iam"), f"delete_{kind}_policy")
        try:
            call(**{f"{kind.capitalize()}Name": name}, PolicyName=policy)
        except Exception as error:
            if not is_gone(error):
                raise


def _delete_policy(context: Context, existing: Existing) -> None:
    _drop_policy(context, existing.properties["PolicyName"], _each(existing.properties))


def _create_managed(context: Context, properties: Json) -> Made:
    iam = context.client("iam")
    wanted = {key: properties[key] for key in ("Description", "Path") if key in properties}
    policy = iam.create_policy(
        PolicyName=properties.get("ManagedPolicyName") or context.name(128),
        PolicyDocument=_text(properties["PolicyDocument"]),
        **wanted,
    )["Policy"]
    context.begun(policy["Arn"])
    _attach_managed(context, policy["Arn"], {}, properties)
    return Made(policy["Arn"], {"PolicyArn": policy["Arn"], "PolicyId": policy["PolicyId"], "DefaultVersionId": "v1"})


def _attach_managed(context: Context, arn: str, old: Json, new: Json) -> None:
    iam = context.client("iam")
    before, after = set(_each(old)), set(_each(new))
    for kind, name in before - after:
        getattr(iam, f"detach_{kind}_policy")(**{f"{kind.capitalize()}Name": name}, PolicyArn=arn)
    for kind, name in after - before:
        getattr(iam, f"attach_{kind}_policy")(**{f"{kind.capitalize()}Name": name}, PolicyArn=arn)


def _update_managed(context: Context, existing: Existing, properties: Json) -> Json:
    """A changed document becomes the default version; IAM keeps five, so the oldest other one goes first."""
    iam, arn = context.client("iam"), existing.physical_id
    if properties["PolicyDocument"] != existing.properties["PolicyDocument"]:
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) >= 5:
            oldest = min((row for row in versions if not row["IsDefaultVersion"]), key=lambda row: row["CreateDate"])
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=_text(properties["PolicyDocument"]), SetAsDefault=True)
    _attach_managed(context, arn, existing.properties, properties)
    return existing.attributes


def _delete_managed(context: Context, existing: Existing) -> None:
    iam, arn = context.client("iam"), existing.physical_id
    attached = iam.list_entities_for_policy(PolicyArn=arn)
    for role in attached["PolicyRoles"]:
        if role["RoleName"] in existing.properties.get("Roles", []):
            iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=arn)
    for row in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not row["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=row["VersionId"])
    iam.delete_policy(PolicyArn=arn)


def _create_profile(context: Context, properties: Json) -> Made:
    iam = context.client("iam")
    name = properties.get("InstanceProfileName") or context.name(128)
    path = {"Path": properties["Path"]} if "Path" in properties else {}
    profile = iam.create_instance_profile(InstanceProfileName=name, **path)["InstanceProfile"]
    context.begun(name)
    for role in properties["Roles"]:
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return Made(name, {"Arn": profile["Arn"]})


def _update_profile(context: Context, existing: Existing, properties: Json) -> Json:
    iam, name = context.client("iam"), existing.physical_id
    for role in set(existing.properties["Roles"]) - set(properties["Roles"]):
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
    for role in set(properties["Roles"]) - set(existing.properties["Roles"]):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return existing.attributes


def _delete_profile(context: Context, existing: Existing) -> None:
    iam, name = context.client("iam"), existing.physical_id
    for role in iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=name)


HANDLERS = (
    Handler(
        "AWS::IAM::Role",
        names(
            "RoleName AssumeRolePolicyDocument Description MaxSessionDuration PermissionsBoundary Path"
            " ManagedPolicyArns Policies Tags"
        ),
        _create_role,
        _delete_role,
        _update_role,
    ),
    Handler(
        "AWS::IAM::Policy",
        names("PolicyName PolicyDocument Roles Users Groups"),
        _create_policy,
        _delete_policy,
        _update_policy,
    ),
    Handler(
        "AWS::IAM::ManagedPolicy",
        names("ManagedPolicyName PolicyDocument Description Path Roles Users Groups"),
        _create_managed,
        _delete_managed,
        _update_managed,
    ),
    Handler(
        "AWS::IAM::InstanceProfile",
        names("InstanceProfileName Path Roles"),
        _create_profile,
        _delete_profile,
        _update_profile,
    ),
)
