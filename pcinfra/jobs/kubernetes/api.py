"""The only door to the ``kubernetes`` library: where the API server is, who we are, and calls with plain dicts.

Everything above speaks :class:`Api`. The library costs most of a second to import, and only what talks to a cluster
pays it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pcinfra.errors import (
    AccessDenied,
    CloudError,
    Conflict,
    CredentialsError,
    MissingTool,
    NotFound,
    Unreachable,
    UsageError,
)

Query = Mapping[str, str | int]
PAGE = 500  # objects of one answer; kubectl's --chunk-size
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_UNSET = "http://localhost"  # what the library takes where a kubeconfig says none
_ATTEMPTS, _PAUSE, _LONGEST = 4, 0.5, 10.0


class Api(Protocol):
    """An API server, as one user in one namespace.

    ``context`` is that of kubeconfig, empty for its current one; ``on`` what a command needs to come here again, with a
    blank before it.
    """

    namespace: str
    where: str
    context: str
    on: str

    def call(
        self, method: str, path: str, query: Query | None = None, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """Make one call and return the answer.

        Raises:
            CloudError: the server refused it, with its own message; the subclass says why.
            Unreachable: there is no answer, or "too many requests" after every retry.
        """
        ...

    def read(self, path: str, query: Query | None = None) -> bytes:
        """Return an answer that is no JSON: a log."""
        ...


def pages(api: Api, path: str, query: Query | None = None, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the items of a list, page by page, at most ``limit`` of them where it is given."""
    asked: dict[str, str | int] = {**(query or {}), "limit": min(PAGE, limit or PAGE)}
    count = 0
    while True:
        answer = api.call("GET", path, asked)
        for item in answer.get("items") or ():
            yield item
            count += 1
            if limit is not None and count >= limit:
                return
        more = (answer.get("metadata") or {}).get("continue")
        if not more:
            return
        asked["continue"] = str(more)


class LiveApi:
    """The :class:`Api` of a real server, through the configuration of the ``kubernetes`` library."""

    def __init__(self, configuration: Any, namespace: str, sleep: Callable[[float], None] = time.sleep) -> None:
        from kubernetes.client import ApiClient

        configuration.retries = False  # ours: only what did not change anything, or was refused for its rate
        self._client = ApiClient(configuration)
        self.pause = sleep
        self.namespace = namespace
        self.where = str(configuration.host)
        self.context = self.on = ""

    def call(
        self, method: str, path: str, query: Query | None = None, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        data = self._raw(method, path, query, body, kind)
        try:
            answer = json.loads(data or b"{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            why = f"answers as no API server does: {_words(data)}"
            raise Unreachable(why, where=self.where, hint="kubectl cluster-info   is a proxy or a login page between?")
        return answer

    def read(self, path: str, query: Query | None = None) -> bytes:
        return self._raw("GET", path, query, None, "application/json")

    def _raw(self, method: str, path: str, query: Query | None, body: Any, kind: str) -> bytes:
        for attempt in range(1, _ATTEMPTS + 1):
            status, headers, data = self._once(method, path, query, body, kind)
            if 200 <= status < 300:
                return data
            again = status == 429 or (status in (500, 503, 504) and method == "GET")
            if not again or attempt == _ATTEMPTS:
                break
            said = str(headers.get("Retry-After", ""))
            self.pause(min(_LONGEST, float(said) if said.isdigit() else _PAUSE * 2**attempt))
        raise error_of(status, data, self.where, path)

    def _once(
        self, method: str, path: str, query: Query | None, body: Any, kind: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        import urllib3
        from kubernetes.client.rest import ApiException

        try:
            answer = self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(5, 60),
            )
        except ApiException as error:
            if not error.status:  # the library's word for a TLS that failed
                hint = "the certificates of the cluster and the user in kubeconfig"
                why = f"no trusted connection: {_tls(str(error.reason))}"
                raise Unreachable(why, where=self.where, hint=hint) from error
            body_of = error.body or b""
            data = body_of.encode() if isinstance(body_of, str) else body_of
            return int(error.status or 0), dict(error.headers or {}), data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(
                f"the API server does not answer: {_reason(error)}", where=self.where, hint="kubectl cluster-info"
            ) from error
        return int(answer.status), dict(answer.headers), answer.data


def error_of(status: int, data: bytes, where: str, path: str = "") -> CloudError:
    """Return the error of an answer, with the server's own message ("API Concepts", Status).

    That names what was asked for; only where it does not, the path is said.
    """
    try:
        said = json.loads(data)
        message, reason = str(said.get("message") or ""), str(said.get("reason") or "")
        if not reason and status == 500 and said.get("kind") == "Status":
            reason = "InternalError"  # of etcd: the server says none
    except (ValueError, AttributeError):
        message, reason = _words(data), ""
    if 300 <= status < 400:
        message = f"sends elsewhere ({status}), as no API server does"
    why, code = message or f"answered {status} to {path}".removesuffix(" to "), reason or str(status)
    if status == 401:
        return CredentialsError(
            f"the server does not know who this is: {why}",
            where=where,
            hint="kubectl auth whoami   or log in again",
            code=code,
        )
    if status == 403:
        quota = "exceeded quota" in message
        hint = "kubectl describe resourcequota" if quota else "pcinfra k8s can-i   and: pcinfra k8s rbac"
        return AccessDenied(why, where=where, hint=hint, code=code)
    if status == 404:
        space = re.match(r'namespaces "([^"]+)" not found', message)
        hint = f"kubectl create namespace {space[1]}   or --on k8s:NAMESPACE" if space else ""
        return NotFound(why, where=where, hint=hint, code=code)
    if status == 409:
        return Conflict(why, where=where, code=code)
    if status == 429 or status >= 500:
        return Unreachable(why, where=where, hint="the same command again", code=code)
    hint = "less in code, or put it on a volume" if status == 413 else ""
    return CloudError(why, where=where, hint=hint, code=code)


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    text = str(inner)
    known = type(inner).__name__ in ("NewConnectionError", "NameResolutionError")
    return text.rpartition(": ")[2] if known else text[:200]


def _tls(text: str) -> str:
    """Return what OpenSSL said, without what the library wraps around it."""
    found = re.search(r"\[(?:SSL|X509)[^\]]*\] ?([^()]+)", text)
    return found[1].strip() if found else text[:200]


def _words(data: bytes) -> str:
    """Return the beginning of an answer that is no JSON, of a page its words alone."""
    text = data.decode(errors="replace")
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        text = re.sub(r"(?s)<(style|script|head)\b.*?</\1>|<[^>]*>", " ", text)
        text = f"a page: {' '.join(text.split())}"
    return " ".join(text.split())[:200]


def connect(namespace: str = "", context: str = "", kubeconfig: str = "", account: Path = _ACCOUNT) -> LiveApi:
    """Return the server that kubeconfig names, or the one whose pod this is.

    Args:
        account: where a pod has its token, the server's certificate and its namespace.

    Raises:
        MissingTool: the library is not installed.
        UsageError: there is no such context, or no configuration at all.
        CredentialsError: the program that kubeconfig names gives no token.
    """
    config, client = _library()
    configuration = client.Configuration()
    inside = account.joinpath("token").exists() and not (kubeconfig or context or _has_kubeconfig())
    file = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        with _heard() as said:
            if inside:
                token, authority = (str(account / name) for name in ("token", "ca.crt"))
                config.incluster_config.InClusterConfigLoader(token, authority).load_and_set(configuration)
                default = account.joinpath("namespace").read_text().strip()
            else:
                default = _load(config, configuration, kubeconfig, context)
    except UsageError:
        raise
    except Exception as error:  # of the library, of YAML, or of taking a text for a map: it checks nothing
        hint = "aws eks update-kubeconfig --name CLUSTER   or --on eks:CLUSTER"
        raise UsageError(_first(error), where=file, hint=hint) from error
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", configuration.host) or configuration.host == _UNSET:
        named = "no server" if configuration.host == _UNSET else f"no address of a server: {configuration.host}"
        raise UsageError(f"names {named}", where=file, hint="clusters[].cluster.server: https://...")
    if not inside and not configuration.api_key and not configuration.cert_file:
        why = "; ".join(["kubeconfig gives neither a token nor a certificate", *said])
        raise CredentialsError(why, where=configuration.host, hint="kubectl auth whoami")
    found = LiveApi(configuration, namespace or default or "default")
    found.context = context
    return found


def _load(config: Any, configuration: Any, kubeconfig: str, context: str) -> str:
    """Load a kubeconfig, and return the namespace of its context."""
    if context:
        contexts, _ = config.list_kube_config_contexts(kubeconfig or None)
        names = [str(each["name"]) for each in contexts]
        if context not in names:
            raise UsageError("there is no such context", where=context, hint=" or ".join(names[:5]))
    config.load_kube_config(kubeconfig or None, context or None, configuration)
    return str(_context(config, kubeconfig, context).get("namespace") or "")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Give what the library logs as an error, which is how it tells of a program for tokens that failed."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage().strip())

    ear, root = Ear(logging.ERROR), logging.getLogger()
    root.addHandler(ear)
    try:
        yield said
    finally:
        root.removeHandler(ear)


def with_token(host: str, token: str, authority: Path | None, namespace: str) -> LiveApi:
    """Return a server by its address; ``authority`` is the file of the certificate that signed the server's."""
    _, client = _library()
    configuration = client.Configuration()
    configuration.host = host
    configuration.api_key = {"authorization": f"Bearer {token}"}
    configuration.ssl_ca_cert = str(authority) if authority else None
    return LiveApi(configuration, namespace or "default")


def _library() -> tuple[Any, Any]:
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise MissingTool("the kubernetes library is not installed", hint="pip install 'pcinfra[k8s]'") from error
    return config, client


def _has_kubeconfig() -> bool:
    return bool(os.environ.get("KUBECONFIG")) or (Path.home() / ".kube" / "config").exists()


def _context(config: Any, kubeconfig: str, context: str) -> dict[str, Any]:
    contexts, active = config.list_kube_config_contexts(kubeconfig or None)
    found = next((each for each in contexts if each["name"] == context), None) if context else active
    inner: dict[str, Any] = (found or {}).get("context") or {}
    return inner


def _first(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"is no YAML, in line {mark.line + 1}: {getattr(error, 'problem', '')}"
    text = (str(error).strip().splitlines() or [""])[0]
    return "there is no configuration" if not text or "No configuration found" in text else text
