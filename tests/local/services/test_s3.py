"""S3 where moto does not answer as AWS does."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from pcinfra.localcloud.services.policy import Request, decide
from tests.local.services.asking import refusal
from tests.local.services.conftest import Client

AES256 = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def new_bucket(s3: Any) -> str:
    name = f"bucket-{uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def statement(effect: str, bucket: str, **more: Any) -> dict[str, Any]:
    return {
        "Effect": effect,
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        **more,
    }


def test_a_policy_that_wants_tls_locks_nobody_out(client: Client) -> None:
    s3 = client("s3")
    bucket = new_bucket(s3)
    deny = statement("Deny", bucket, Condition={"Bool": {"aws:SecureTransport": "false"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_a_policy_that_denies_is_obeyed(client: Client) -> None:
    s3 = client("s3")
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="secret/a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"x")
    deny = statement("Deny", bucket, Action=["s3:GetObject"], Resource=f"arn:aws:s3:::{bucket}/secret/*")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    assert refusal(s3.get_object, Bucket=bucket, Key="secret/a")[0] in ("403", "AccessDenied")
    assert refusal(s3.head_object, Bucket=bucket, Key="secret/a")[0] == "403"
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"x"


def test_every_bucket_is_encrypted(client: Client) -> None:
    s3 = client("s3")
    bucket = new_bucket(s3)

    def rules() -> Any:
        rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
        return rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]

    assert rules() == "AES256"
    kms = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [kms]})
    assert rules() == "aws:kms"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert rules() == "AES256"


def test_creating_a_bucket_again(client: Client) -> None:
    east, west = client("s3"), client("s3", "us-west-2")
    bucket, there = new_bucket(east), f"west-{uuid4().hex[:12]}"
    east.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert east.create_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert east.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    place = {"CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
    west.create_bucket(Bucket=there, **place)
    assert refusal(west.create_bucket, Bucket=there, **place)[0] == "BucketAlreadyOwnedByYou"
    assert refusal(west.create_bucket, Bucket=f"x{there}")[0] == "IllegalLocationConstraintException"


def test_a_name_that_another_account_has(client: Client) -> None:
    import boto3

    bucket = new_bucket(client("s3"))
    role = client("sts").assume_role(RoleArn="arn:aws:iam::111111111111:role/x", RoleSessionName="other")
    keys = role["Credentials"]
    other = boto3.client(
        "s3",
        endpoint_url=client("s3").meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert refusal(other.create_bucket, Bucket=bucket)[0] == "BucketAlreadyExists"


@pytest.mark.parametrize(
    "name",
    ["ab", "x" * 64, "Upper", "under_score", "-dash", "dash-", "two..dots", "192.168.0.1", "xn--a", "a-s3alias"],
)
def test_names_that_no_bucket_has(client: Client, name: str) -> None:
    assert refusal(client("s3").create_bucket, Bucket=name)[0] == "InvalidBucketName"


def test_a_bucket_with_content_stays(client: Client) -> None:
    s3 = client("s3")
    bucket = new_bucket(s3)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="a")
    assert refusal(s3.delete_bucket, Bucket=bucket)[0] == "BucketNotEmpty"


REQUEST = Request("s3:GetObject", "arn:aws:s3:::b/k", "123456789012", {"aws:securetransport": "true", "n": "5"})

CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"Bool": {"aws:SecureTransport": "false"}}, False),
    ({"Bool": {"aws:SecureTransport": True}}, True),
    ({"Bool": {"AWS:SECURETRANSPORT": "true"}}, True),
    ({"StringEquals": {"missing": "x"}}, False),
    ({"StringNotEquals": {"missing": "x"}}, True),
    ({"StringEqualsIfExists": {"missing": "x"}}, True),
    ({"Null": {"missing": "true"}}, True),
    ({"Null": {"n": "true"}}, False),
    ({"NumericLessThan": {"n": ["1", "6"]}}, True),
    ({"NumericLessThan": {"n": "5"}}, False),
    ({"ForAnyValue:StringLike": {"n": ["4*", "?"]}}, True),
    ({"StringNotLike": {"n": ["4*", "5*"]}}, False),
    ({"Bool": {"aws:SecureTransport": "true"}, "StringEquals": {"n": "6"}}, False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    document = json.dumps({"Statement": {**statement("Deny", "b"), "Condition": condition}})
    assert decide(document, REQUEST) == ("deny" if holds else "none")


@pytest.mark.parametrize(
    ("change", "decision"),
    [
        ({}, "allow"),
        ({"Action": "S3:get*"}, "allow"),
        ({"Action": ["s3:PutObject"]}, "none"),
        ({"NotAction": "s3:PutObject", "Action": None}, "allow"),
        ({"Resource": "arn:aws:s3:::b"}, "none"),
        ({"Resource": "arn:aws:s3:::b/[k]"}, "none"),
        ({"Principal": {"AWS": "123456789012"}}, "allow"),
        ({"Principal": {"AWS": ["arn:aws:iam::123456789012:root"]}}, "allow"),
        ({"Principal": {"AWS": "arn:aws:iam::111111111111:root"}}, "none"),
        ({"Principal": {"Service": "logging.s3.amazonaws.com"}}, "none"),
        ({"Principal": None, "NotPrincipal": {"AWS": "111111111111"}}, "allow"),
    ],
)
def test_statements(change: dict[str, Any], decision: str) -> None:
    whole = {**statement("Allow", "b"), **change}
    document = json.dumps({"Statement": [{key: value for key, value in whole.items() if value is not None}]})
    assert decide(document, REQUEST) == decision


def test_a_deny_wins() -> None:
    both = [statement("Allow", "b"), statement("Deny", "b")]
    assert decide(json.dumps({"Statement": both}), REQUEST) == "deny"


def test_an_unknown_operator_is_not_guessed() -> None:
    odd = {**statement("Deny", "b"), "Condition": {"IpAddress": {"n": "10.0.0.0/8"}}}
    with pytest.raises(NotImplementedError, match="IpAddress"):
        decide(json.dumps({"Statement": [odd]}), REQUEST)
