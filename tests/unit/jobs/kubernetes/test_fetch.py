"""What a pod fetches for its job: signed as AWS's own library signs, asked again when AWS is busy, and never told."""

from __future__ import annotations

import io
from email.message import Message
from typing import Any
from urllib.error import HTTPError, URLError

import pytest

from pcinfra.jobs.kubernetes.render import fetch
from pcinfra.jobs.kubernetes.render.fetch import Failure, Keys, asked, signature

URL = "https://bucket.s3.us-east-1.amazonaws.com/pcinfra/code/u%20id/train-1.tar.gz"
STAMP = "20260101T000000Z"


@pytest.mark.parametrize("token", ["", "session"])
@pytest.mark.parametrize(("service", "method", "body"), [("s3", "GET", ""), ("secretsmanager", "POST", '{"a": 1}')])
def test_a_request_is_signed_as_botocore_signs_it(service: str, method: str, body: str, token: str) -> None:
    import datetime
    import hashlib

    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url = URL if service == "s3" else "https://secretsmanager.us-east-1.amazonaws.com/"
    digest = hashlib.sha256(body.encode()).hexdigest()
    headers = {"host": url.split("/")[2], "x-amz-date": STAMP}
    headers |= (
        {"x-amz-content-sha256": digest} if service == "s3" else {"x-amz-target": "secretsmanager.GetSecretValue"}
    )
    headers |= {"x-amz-security-token": token} if token else {}
    ours = signature(Keys("AKID", "secret", token), method, url, headers, digest, service, "us-east-1")

    sent = {name: value for name, value in headers.items() if name not in ("host", "x-amz-security-token")}
    request = AWSRequest(method, url, headers=sent, data=body)
    request.context["timestamp"] = STAMP
    if token:
        request.headers["X-Amz-Security-Token"] = token
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials("AKID", "secret", token), service, "us-east-1")
    canonical = signer.canonical_request(request)
    assert datetime.datetime.strptime(STAMP, "%Y%m%dT%H%M%SZ")
    assert ours.endswith("Signature=" + signer.signature(signer.string_to_sign(request, canonical), request))
    assert f"SignedHeaders={signer.signed_headers(signer.headers_to_sign(request))}" in ours


class Answers:
    """Gives its answers one after the other; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def open(self, request: Any, timeout: float) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refusal(code: int, text: str = "") -> HTTPError:
    return HTTPError("https://x", code, "no", Message(), io.BytesIO(text.encode()))


BUSY = '{"__type": "ThrottlingException", "message": "Rate exceeded"}'
NO_SECRET = '{"__type": "x#ResourceNotFoundException", "Message": "no such secret"}'
DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def test_what_will_pass_is_asked_again_later_and_later() -> None:
    slept: list[float] = []
    answers = Answers(refusal(400, BUSY), refusal(503), URLError("no route"), "fine")
    assert asked("x", lambda: None, answers, slept.append) == "fine"
    assert len(slept) == 3
    assert slept == sorted(slept) or max(slept) <= fetch.LONGEST


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (refusal(400, NO_SECRET), "the secret T: 400 ResourceNotFoundException no such secret"),
        (refusal(403, DENIED), "the secret T: 403 AccessDenied Access Denied"),
        (refusal(404, "<html>"), "the secret T: 404 no"),
        (refusal(301, "[]"), "the secret T: 301 no"),
    ],
)
def test_what_will_not_pass_is_told_at_once(answer: HTTPError, why: str) -> None:
    with pytest.raises(Failure, match=why):
        asked("the secret T", lambda: None, Answers(answer), lambda _: None)


def test_nobody_there_is_told_in_the_end() -> None:
    with pytest.raises(Failure, match="x: no route"):
        asked("x", lambda: None, Answers(*[URLError("no route")] * fetch.ATTEMPTS), lambda _: None)


def test_a_pod_without_a_role_is_told_what_to_write() -> None:
    with pytest.raises(Failure, match=r"kubernetes\.service_account must name"):
        fetch.credentials("us-east-1")
    with pytest.raises(Failure, match="set AWS_REGION"):
        fetch.own_region()


@pytest.mark.parametrize(
    ("region", "host"),
    [("us-east-1", "https://sts.us-east-1.amazonaws.com"), ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn")],
)
def test_addresses(region: str, host: str) -> None:
    assert fetch.address("sts", region) == host
