"""What the local cloud has not got it says at once, in the protocol's own error format."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any
from uuid import uuid4

import pytest

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client

UNKNOWN: list[tuple[str, str, dict[str, Any], str]] = [
    # ec2
    ("ec2", "describe_spot_datafeed_subscription", {}, "ec2.DescribeSpotDatafeedSubscription"),
    # query
    ("iam", "simulate_principal_policy", {"PolicySourceArn": "arn:aws:iam::1:user/x", "ActionNames": ["s3:*"]}, "iam."),
    ("sts", "decode_authorization_message", {"EncodedMessage": "x"}, "sts.DecodeAuthorizationMessage"),
    # json
    ("pricing", "get_products", {"ServiceCode": "AmazonEC2"}, "pricing.GetProducts"),
    ("ssm", "get_calendar_state", {"CalendarNames": ["x"]}, "ssm.GetCalendarState"),
    ("fsx", "create_file_cache", {}, "fsx.CreateFileCache"),
    ("cloudtrail", "lookup_events", {}, "cloudtrail.LookupEvents"),
    # rest-json
    ("lambda", "get_account_settings", {}, "lambda.GetAccountSettings"),
    ("grafana", "list_workspaces", {}, "grafana."),
    ("eks", "list_insights", {"clusterName": "x"}, "eks.ListInsights"),
    # rest-xml
    ("route53", "list_traffic_policies", {}, "route53.ListTrafficPolicies"),
    ("s3", "get_bucket_request_payment", {"Bucket": "some-bucket"}, "s3.GetBucketRequestPayment"),
    ("s3", "put_bucket_metrics_configuration", {"Bucket": "some-bucket", "Id": "a", "MetricsConfiguration": {}}, "s3."),
]


@pytest.mark.parametrize(("service", "operation", "request_", "name"), UNKNOWN)
def test_unknown(client: Client, service: str, operation: str, request_: dict[str, Any], name: str) -> None:
    maker, sent = client(service), []
    maker.meta.events.register("before-send", lambda **_: sent.append(1))
    code, message = refusal(getattr(maker, operation), **request_)
    assert code == "NotImplemented"
    assert message.startswith(f"not implemented by the local cloud: {name}")
    assert "<" not in message
    assert sent == [1]


def test_a_subresource_that_is_not_known_makes_no_bucket(client: Client) -> None:
    s3, name = client("s3"), f"bucket-{uuid4().hex[:8]}"
    request = {"Bucket": name, "RequestPaymentConfiguration": {"Payer": "Requester"}}
    assert refusal(s3.put_bucket_request_payment, **request)[0] == "NotImplemented"
    assert name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize("path", ["/", "/no-such-bucket/key", "/%00", "/?Action=DescribeVpcs", "/a?Action=Nonsense"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_requests_that_no_client_makes(client: Client, method: str, path: str) -> None:
    url = client("s3").meta.endpoint_url
    status, body = ask(urllib.request.Request(f"{url}{path}", method=method, data=b"\xff\x00nonsense"))
    assert status < 500 or status == 501
    assert b"<html" not in body.lower()
    assert client("sts").get_caller_identity()["Account"] == "123456789012"


def ask(request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
