"""AWS::S3 types."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, is_gone, names

NO_DEFAULT_BLOCK = {
    "BlockPublicAcls": False,
    "IgnorePublicAcls": False,
    "BlockPublicPolicy": False,
    "RestrictPublicBuckets": False,
}


def _create(context: Context, properties: Json) -> Made:
    s3 = context.client("s3")
    name = properties.get("BucketName") or context.name(63).lower()
    where = (
        {} if context.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": context.region}}
    )
    _refuse_existing(s3, name)
    s3.create_bucket(Bucket=name, **where)
    context.begun(name)
    _configure(context, name, {}, properties)
    return Made(name, _attributes(context, name))


def _refuse_existing(s3: Any, name: str) -> None:
    """Source: AWS::S3::Bucket: creating a bucket that is already one's own fails, in us-east-1 too."""
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return
    raise ClientError({"Error": {"Code": "BucketAlreadyExists", "Message": f"{name} already exists"}}, "CreateBucket")


def _attributes(context: Context, name: str) -> Json:
    return {
        "Arn": f"arn:aws:s3:::{name}",
        "DomainName": f"{name}.s3.amazonaws.com",
        "DualStackDomainName": f"{name}.s3.dualstack.{context.region}.amazonaws.com",
        "RegionalDomainName": f"{name}.s3.{context.region}.amazonaws.com",
        "WebsiteURL": f"http://{name}.s3-website-{context.region}.amazonaws.com",
    }


def _configure(context: Context, name: str, old: Json, new: Json) -> None:
    for key, apply in _SETTINGS.items():
        if key in new or key in old:
            apply(context.client("s3"), name, new.get(key))
    tags = context.tag_list()
    if tags:
        context.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    elif old:
        context.client("s3").delete_bucket_tagging(Bucket=name)


def _versioning(s3: Any, name: str, setting: Json | None) -> None:
    status = setting["Status"] if setting else "Suspended"
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})


def _encryption(s3: Any, name: str, setting: Json | None) -> None:
    if setting is None:
        s3.delete_bucket_encryption(Bucket=name)
        return
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in setting["ServerSideEncryptionConfiguration"]
    ]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def _public_access(s3: Any, name: str, setting: Json | None) -> None:
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={**NO_DEFAULT_BLOCK, **(setting or {})})


def _ownership(s3: Any, name: str, setting: Json | None) -> None:
    if setting is None:
        s3.delete_bucket_ownership_controls(Bucket=name)
    else:
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": setting["Rules"]})


def _lifecycle(s3: Any, name: str, setting: Json | None) -> None:
    if setting is None:
        s3.delete_bucket_lifecycle(Bucket=name)
        return
    rules = [lifecycle_rule(rule, index) for index, rule in enumerate(setting["Rules"])]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def lifecycle_rule(rule: Json, index: int) -> Json:
    """An S3 LifecycleRule from a CloudFormation Rule, whose names differ."""
    result: Json = {
        "ID": rule.get("Id", f"rule-{index}"),
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    if "ExpirationInDays" in rule:
        result["Expiration"] = {"Days": rule["ExpirationInDays"]}
    if "ExpiredObjectDeleteMarker" in rule:
        result["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    if "NoncurrentVersionExpirationInDays" in rule:
        result["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if key in rule:
            result[key] = rule[key]
    if "Transitions" in rule:
        result["Transitions"] = [
            {"Days": row["TransitionInDays"], "StorageClass": row["StorageClass"]} for row in rule["Transitions"]
        ]
    return result


_SETTINGS: dict[str, Callable[[Any, str, Json | None], None]] = {
    "VersioningConfiguration": _versioning,
    "BucketEncryption": _encryption,
    "PublicAccessBlockConfiguration": _public_access,
    "OwnershipControls": _ownership,
    "LifecycleConfiguration": _lifecycle,
}


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    _configure(context, existing.physical_id, existing.properties, properties)
    return existing.attributes


def _delete(context: Context, existing: Existing) -> None:
    """Source: AWS::S3::Bucket: only empty buckets can be deleted; versions and delete markers count."""
    s3, name = context.client("s3"), existing.physical_id
    versions = s3.list_object_versions(Bucket=name, MaxKeys=1)
    if versions.get("Versions") or versions.get("DeleteMarkers"):
        raise ClientError(
            {"Error": {"Code": "BucketNotEmpty", "Message": "The bucket you tried to delete is not empty"}},
            "DeleteBucket",
        )
    s3.delete_bucket(Bucket=name)


def _put_policy(context: Context, properties: Json) -> None:
    document = properties["PolicyDocument"]
    text = document if isinstance(document, str) else json.dumps(document)
    context.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=text)


def _create_policy(context: Context, properties: Json) -> Made:
    _put_policy(context, properties)
    return Made(properties["Bucket"])


def _update_policy(context: Context, existing: Existing, properties: Json) -> Json:
    _put_policy(context, properties)
    return existing.attributes


def _delete_policy(context: Context, existing: Existing) -> None:
    try:
        context.client("s3").delete_bucket_policy(Bucket=existing.properties["Bucket"])
    except ClientError as error:
        if not is_gone(error):
            raise


HANDLERS = (
    Handler("AWS::S3::Bucket", frozenset(_SETTINGS) | names("BucketName Tags"), _create, _delete, _update),
    Handler("AWS::S3::BucketPolicy", names("Bucket PolicyDocument"), _create_policy, _delete_policy, _update_policy),
)
