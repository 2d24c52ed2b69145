"""Runs in a job's pods: fetches from AWS, with the pod's own role, what the job needs, and becomes its command.

What to fetch is in ``fetch.json`` beside this file: the archive of the code, whose digest is checked, and secrets,
whose values are put into the environment of the command alone. It needs Python 3.8 and nothing else, because it runs
in images of every kind.

Sources: AWS General Reference, "Signature Version 4"; EKS user guide, "EKS Pod Identity" and "IAM roles for service
accounts"; AWS SDKs reference guide, "Container credential provider" and "Assume role with web identity".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import sys
import time
from typing import Any, NamedTuple, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener
from xml.etree import ElementTree

JOB, CODE = "/pcinfra/job", "/pcinfra/code"
ARCHIVE = ".pcinfra-code.tar.gz"
ATTEMPTS, LONGEST, PATIENCE = 8, 20, 60  # the last two in seconds: between attempts, and for an answer
BUSY = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown")
EMPTY = hashlib.sha256(b"").hexdigest()


class Keys(NamedTuple):
    """Credentials; ``token`` is empty where they are for good."""

    id: str
    secret: str
    token: str = ""


class Failure(Exception):
    """Why something cannot be fetched. No value of a secret is ever in it."""


class _NoRedirects(HTTPRedirectHandler):
    """A redirection would take the signature to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OUTSIDE = build_opener(_NoRedirects)
_INSIDE = build_opener(_NoRedirects, ProxyHandler({}))  # the agent of Pod Identity is on this node


def signature(keys: Keys, method: str, url: str, headers: dict[str, str], body: str, service: str, region: str) -> str:
    """Return the header Authorization.

    Args:
        headers: all that are signed: host, x-amz-date and others, in lower case.
        body: SHA-256 of it, hexadecimal.
    """
    parts, stamp = urlsplit(url), headers["x-amz-date"]
    names = sorted(headers)
    listed = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    path = parts.path or "/"
    request = "\n".join([method, path, parts.query, listed, ";".join(names), body])
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = ("AWS4" + keys.secret).encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    signed = hmac.new(key, "\n".join(["AWS4-HMAC-SHA256", stamp, scope, digest]).encode(), hashlib.sha256).hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={keys.id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signed}"


def address(service: str, region: str) -> str:
    """Return where a service answers; AWS_ENDPOINT_URL goes before, as it does for every program of AWS's."""
    if os.environ.get("AWS_ENDPOINT_URL"):
        return os.environ["AWS_ENDPOINT_URL"].rstrip("/")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{region}.{suffix}"


def asked(what: str, make: Any, opener: Any = _OUTSIDE, sleep: Any = time.sleep) -> Any:
    """Return the open answer to a request, which is made anew for each attempt.

    Raises:
        Failure: AWS refuses it, or nobody answers.
    """
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(random.uniform(0.5, 1) * min(LONGEST, 2**attempt))  # noqa: S311 - no secret
        try:
            return opener.open(make(), timeout=PATIENCE)
        except HTTPError as error:
            text = error.read(2000).decode("utf-8", "replace")
            why = f"{error.code} {_code(text) or error.reason}"
            if error.code < 500 and error.code != 429 and not any(word in text for word in BUSY):
                break
        except (URLError, OSError) as error:
            why = str(getattr(error, "reason", error))
    raise Failure(f"{what}: {why}")


def _code(text: str) -> str:
    """Return the code and message of an error of AWS, in JSON or XML."""
    try:
        said = json.loads(text)
        kind = str(said.get("__type", "")).rpartition("#")[2]
        message = said.get("message") or said.get("Message") or ""
        return f"{kind} {message}".strip()
    except (ValueError, AttributeError):
        pass
    try:
        tree = ElementTree.fromstring(text)  # noqa: S314 - from AWS
    except ElementTree.ParseError:
        return ""
    return " ".join(filter(None, (_text(tree, name) for name in ("Code", "Message"))))


def _text(tree: ElementTree.Element, name: str) -> str:
    found = (each.text for each in tree.iter() if each.tag.rpartition("}")[2] == name)
    return next(found, None) or ""


def _file(path: str) -> str:
    with open(path, encoding="utf-8") as opened:
        return opened.read().strip()


def credentials(region: str) -> Keys:
    """Return the pod's own credentials. The role of the node is not the job's, and is not asked for.

    Raises:
        Failure: it has none.
    """
    env = os.environ
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        return Keys(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN", ""))
    if env.get("AWS_WEB_IDENTITY_TOKEN_FILE") and env.get("AWS_ROLE_ARN"):
        return _web_identity(region)
    if env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return _pod_identity()
    raise Failure(
        "this pod has no role of AWS's: kubernetes.service_account must name a service account that has one, by EKS "
        "Pod Identity or IRSA"
    )


def _web_identity(region: str) -> Keys:
    fields = {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "pcinfra",
        "RoleArn": os.environ["AWS_ROLE_ARN"], "WebIdentityToken": _file(os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    }  # fmt: skip
    body, where = urlencode(fields).encode(), address("sts", region) + "/"
    with asked("the role " + fields["RoleArn"], lambda: Request(where, body)) as answer:  # noqa: S310 - https
        tree = ElementTree.fromstring(answer.read())  # noqa: S314 - from AWS
    return Keys(*(_text(tree, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))


def _pod_identity() -> Keys:
    headers, file = {}, os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if file:
        headers["Authorization"] = _file(file)
    where = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    with asked("the pod's role", lambda: Request(where, headers=headers), _INSIDE) as answer:  # noqa: S310 - the agent
        said = json.load(answer)
    return Keys(said["AccessKeyId"], said["SecretAccessKey"], said.get("Token", ""))


def call(what: str, keys: Keys, service: str, region: str, url: str, target: str = "", body: bytes = b"") -> Any:
    """Return the open answer to a signed call: of S3 to GET, of the others to POST."""
    digest = hashlib.sha256(body).hexdigest() if body else EMPTY

    def make() -> Request:
        headers = {"host": urlsplit(url).netloc, "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())}
        headers.update({"x-amz-content-sha256": digest} if service == "s3" else {})
        headers.update({"x-amz-security-token": keys.token} if keys.token else {})
        headers.update({"x-amz-target": target, "content-type": "application/x-amz-json-1.1"} if target else {})
        method = "POST" if target else "GET"
        signed = signature(keys, method, url, headers, digest, service, region)
        return Request(url, body or None, {**headers, "authorization": signed}, method=method)  # noqa: S310 - https

    return asked(what, make)


def fetch_code(code: dict[str, str], keys: Keys, file: str) -> None:
    """Write the archive of the code to ``file``.

    Raises:
        Failure: it is not there, or not what was submitted.
    """
    bucket, region = code["bucket"], code["region"]
    plain = os.environ.get("AWS_ENDPOINT_URL") or "." in bucket  # a name with dots fits no certificate
    base = address("s3", region)
    base = f"{base}/{bucket}" if plain else base.replace("://", f"://{bucket}.", 1)
    what, digest = f"the code in s3://{bucket}/{code['key']}", hashlib.sha256()
    for _ in range(3):
        digest = hashlib.sha256()
        with call(what, keys, "s3", region, f"{base}/{quote(code['key'])}") as answer, open(file, "wb") as out:
            try:
                for block in iter(lambda: answer.read(1 << 20), b""):
                    digest.update(block)
                    out.write(block)
            except OSError:
                continue  # cut off on the way
        if digest.hexdigest() == code["sha256"]:
            return
    os.remove(file)
    raise Failure(f"{what}: has the digest {digest.hexdigest()}, and {code['sha256']} was submitted")


def fetch_secret(secret: dict[str, str], keys: Keys, home: str = "") -> str:
    """Return the value of a secret, without line breaks at its end.

    Args:
        home: region of one that does not say its own.

    Raises:
        Failure: it cannot be read, or has no such key.
    """
    region, name, key = secret["region"] or own_region(home), secret["name"], secret["key"]
    ssm = secret["service"] == "ssm"
    target = "AmazonSSM.GetParameter" if ssm else "secretsmanager.GetSecretValue"
    body = json.dumps({"Name": name, "WithDecryption": True} if ssm else {"SecretId": name}).encode()
    what = f"the secret {secret['variable']}, from {name}"
    with call(what, keys, secret["service"], region, address(secret["service"], region) + "/", target, body) as answer:
        said = json.load(answer)
    value = said["Parameter"]["Value"] if ssm else said.get("SecretString")
    if not isinstance(value, str):
        raise Failure(f"{what}: is no text")
    if key:
        try:
            found = json.loads(value)[key]
        except (ValueError, KeyError, TypeError):
            raise Failure(f"{what}: has no key {key}") from None
        value = found if isinstance(found, str) else json.dumps(found)
    if "\0" in value:
        raise Failure(f"{what}: has a NUL, which no variable can hold")
    return value.rstrip("\n")


def own_region(home: str = "") -> str:
    """Return the region that the pod is told, else that of the project.

    Raises:
        Failure: none is.
    """
    found = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or home
    if not found:
        raise Failure("the region is not known: name the secret by its ARN, or set AWS_REGION in environment")
    return found


def main(words: list[str]) -> NoReturn:
    with open(JOB + "/fetch.json", encoding="utf-8") as opened:
        wanted = json.load(opened)
    code, secrets, home = wanted.get("code"), wanted.get("secrets", []), wanted.get("region", "")
    try:
        keys = credentials(code["region"] if code else secrets[0]["region"] or own_region(home))
        if code:
            fetch_code(code, keys, os.path.join(CODE, ARCHIVE))
        found = {secret["variable"]: fetch_secret(secret, keys, home) for secret in secrets}
    except (Failure, OSError, ValueError, KeyError) as error:
        sys.exit(f"pcinfra: {error}")
    os.environ.update(found)
    os.execvp(words[0], words)  # noqa: S606 - it becomes the command, and no shell is in between


if __name__ == "__main__":
    main(sys.argv[1:])
