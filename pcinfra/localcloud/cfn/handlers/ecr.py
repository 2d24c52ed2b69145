"""AWS::ECR types."""

from __future__ import annotations

import json

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, is_gone, names


def _create(context: Context, properties: Json) -> Made:
    ecr = context.client("ecr")
    name = properties.get("RepositoryName") or context.name(256).lower()
    row = ecr.create_repository(
        repositoryName=name,
        imageTagMutability=properties.get("ImageTagMutability", "MUTABLE"),
        imageScanningConfiguration={"scanOnPush": _scan(properties)},
        tags=context.tag_list(),
    )["repository"]
    context.begun(name)
    _set_policies(context, name, properties)
    return Made(name, {"Arn": row["repositoryArn"], "RepositoryUri": row["repositoryUri"]})


def _scan(properties: Json) -> bool:
    return bool(properties.get("ImageScanningConfiguration", {}).get("ScanOnPush", False))


def _set_policies(context: Context, name: str, properties: Json) -> None:
    ecr = context.client("ecr")
    lifecycle = properties.get("LifecyclePolicy", {}).get("LifecyclePolicyText")
    if lifecycle:
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=lifecycle)
    policy = properties.get("RepositoryPolicyText")
    if policy:
        text = policy if isinstance(policy, str) else json.dumps(policy)
        ecr.set_repository_policy(repositoryName=name, policyText=text)


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    ecr, name = context.client("ecr"), existing.physical_id
    ecr.put_image_tag_mutability(
        repositoryName=name, imageTagMutability=properties.get("ImageTagMutability", "MUTABLE")
    )
    ecr.put_image_scanning_configuration(
        repositoryName=name, imageScanningConfiguration={"scanOnPush": _scan(properties)}
    )
    for key, drop in (("LifecyclePolicy", "lifecycle"), ("RepositoryPolicyText", "repository")):
        if key in existing.properties and key not in properties:
            _drop(context, name, drop)
    _set_policies(context, name, properties)
    arn = existing.attributes["Arn"]
    present = {tag["Key"] for tag in ecr.list_tags_for_resource(resourceArn=arn)["tags"]}
    if present - set(context.tags):
        ecr.untag_resource(resourceArn=arn, tagKeys=sorted(present - set(context.tags)))
    ecr.tag_resource(resourceArn=arn, tags=context.tag_list())
    return existing.attributes


def _drop(context: Context, name: str, kind: str) -> None:
    try:
        getattr(context.client("ecr"), f"delete_{kind}_policy")(repositoryName=name)
    except Exception as error:
        if not is_gone(error):
            raise


def _delete(context: Context, existing: Existing) -> None:
    """Source: AWS::ECR::Repository, EmptyOnDelete: without it a repository with images cannot be deleted."""
    force = bool(existing.properties.get("EmptyOnDelete", False))
    context.client("ecr").delete_repository(repositoryName=existing.physical_id, force=force)


HANDLERS = (
    Handler(
        "AWS::ECR::Repository",
        names(
            "RepositoryName ImageTagMutability ImageScanningConfiguration LifecyclePolicy RepositoryPolicyText"
            " EmptyOnDelete Tags"
        ),
        _create,
        _delete,
        _update,
    ),
)
