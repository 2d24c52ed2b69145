"""Errors in the format of the protocol that a request speaks, for what moto has no answer to.

AWS's protocols: https://smithy.io/2.0/aws/protocols/ . Which one a request speaks shows in the request itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

NOT_IMPLEMENTED = 501
"""A status that no mode of botocore retries: it retries 500, 502, 503 and 504."""

UNKNOWN_S3 = frozenset(
    (
        "abac",
        "analytics",
        "annotation",
        "annotations",
        "intelligent-tiering",
        "metadataConfiguration",
        "metadataTable",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataAnnotationTable",
        "metrics",
        "renameObject",
        "requestPayment",
        "session",
        "torrent",
    )
)
"""Subresources of buckets and objects that moto ignores: it would create the bucket instead, or list it."""

_READS = ("Describe", "Get", "List", "Head", "GET ", "HEAD ")
_XML = "text/xml"
_REST_XML = {"s3", "s3control", "cloudfront", "route53"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer that is an error."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for, as far as the request itself says.

    Args:
        service: name that it is signed for, for example ``ec2``; empty when it is not signed.
        action: AWS's name of the operation, or method and path where only AWS's model knows the name.
        protocol: ``json``, ``query``, ``ec2``, ``rest-xml``, ``s3`` or ``rest-json``.
    """

    service: str
    action: str
    protocol: str
    region: str = ""

    def __str__(self) -> str:
        return f"{self.service}.{self.action}"

    @property
    def reads(self) -> bool:
        """Whether it only reads, as far as its name says: what it finds needs no saving."""
        return self.action.startswith(_READS)


def recognise(environ: Mapping[str, str], body: bytes) -> Call:
    """Return what a WSGI request asks for."""
    service, region = _signed_for(environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", ""))
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return Call(service or target.split("_")[0], target.rpartition(".")[2], "json", region)
    action = _query_action(environ, body)
    if action:
        return Call(service, action, "ec2" if service == "ec2" else "query", region)
    protocol = {"s3": "s3", "s3control": "s3"}.get(service, "rest-xml" if service in _REST_XML else "rest-json")
    if not service:
        protocol = "s3"
    return Call(service or "s3", f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", protocol, region)


def refusal(call: Call, status: int, code: str, message: str) -> Answer:
    """Return the error ``code`` with ``message`` in the format of the call's protocol."""
    if call.protocol in ("json", "rest-json"):
        body = json.dumps({"__type": code, "message": message})
        kind = "application/x-amz-json-1.1" if call.protocol == "json" else "application/json"
    else:
        body, kind = _xml(call.protocol, code, message), _XML
    headers = [("Content-Type", kind), ("x-amzn-errortype", code)]
    return Answer(status, headers, body.encode())


def is_nothing(call: Call, answer: Answer) -> bool:
    """Return whether moto has no route for the call: it answers a REST call with a page, or with nothing at all."""
    if answer.status not in (404, 405) or call.protocol == "s3":
        return False
    return is_page(answer) or answer.body in (b"", b"Not Found", b"Not yet implemented")


def is_page(answer: Answer) -> bool:
    """Return whether this is an error of the web framework, which no AWS client reads."""
    return answer.status >= 400 and answer.body.lstrip()[:15].lower() == b"<!doctype html>"


def bad_request(call: Call) -> Answer:
    """Return the refusal of a request that nobody could read."""
    return refusal(call, 400, "BadRequest", f"the request {call} cannot be read")


def not_implemented(call: Call, detail: str = "") -> Answer:
    """Return the refusal of what the local cloud has not got; ``detail`` is the part of the call that it lacks."""
    message = f"not implemented by the local cloud: {call}"
    if detail and not detail.endswith("has not been implemented"):
        message += f" ({detail})"
    return refusal(call, NOT_IMPLEMENTED, "NotImplemented", message)


def _xml(protocol: str, code: str, message: str) -> str:
    fields = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    if protocol == "s3":
        return f"{head}<Error>{fields}</Error>"
    if protocol == "ec2":
        return f"{head}<Response><Errors><Error>{fields}</Error></Errors></Response>"
    return f"{head}<ErrorResponse><Error><Type>Sender</Type>{fields}</Error></ErrorResponse>"


def _signed_for(authorization: str, query: str) -> tuple[str, str]:
    """Return service and region of a signature version 4: KEY/DATE/REGION/SERVICE/aws4_request."""
    _, _, scope = authorization.partition("Credential=")
    if not scope:
        scope = parse_qs(query).get("X-Amz-Credential", [""])[0]
    parts = scope.split(",")[0].split("/")
    return (parts[3], parts[2]) if len(parts) >= 5 else ("", "")


def _query_action(environ: Mapping[str, str], body: bytes) -> str:
    form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    text = body.decode("utf-8", "replace") if form else environ.get("QUERY_STRING", "")
    return parse_qs(text).get("Action", [""])[0] if "Action=" in text else ""
