"""The way to a session: the API that starts and resumes it, and the WebSocket to it.

Source: Systems Manager API reference, StartSession, ResumeSession, TerminateSession; session-manager-plugin,
``src/communicator/websocketchannel.go`` (an address that is not signed already is signed for ``ssmmessages``) and
``src/datachannel/streaming.go`` (FinalizeDataChannelHandshake).
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

from pcinfra.errors import AccessDenied, CloudError, PcinfraError, Unreachable
from pcinfra.sessions.channel import CLIENT_VERSION

if TYPE_CHECKING:
    from pcinfra.sessions.request import Request

_PATIENCE = 30.0
_LARGEST = 1 << 22
"""Bytes of a message from the other side, which are a thousand and some."""

_SILENT = logging.getLogger(f"{__name__}.websocket")
_SILENT.disabled = True  # it would write what it sends, and the first of that is a secret


class Account(Protocol):
    """The calls of one account, and its signature."""

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]: ...

    def signature(self, service: str, address: str) -> Mapping[str, str]:
        """Return the headers that sign a GET of ``address``."""
        ...


class WebSocket:
    """A WebSocket, with OSError for everything that goes wrong."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def send(self, message: bytes) -> None:
        from websockets.exceptions import WebSocketException

        try:
            self._connection.send(message)
        except WebSocketException as error:
            raise ConnectionError(type(error).__name__) from None

    def messages(self) -> Iterator[bytes]:
        from websockets.exceptions import WebSocketException

        with contextlib.suppress(WebSocketException, OSError):
            for message in self._connection:
                yield message if isinstance(message, bytes) else message.encode()

    def close(self) -> None:
        self._connection.close()


class SessionLine:
    """One session of an account, started. No error and no log has its token or its address.

    Raises:
        CloudError: it cannot be started.
    """

    def __init__(self, account: Account, request: Request, version: str = CLIENT_VERSION) -> None:
        self._account, self._version = account, version
        try:
            answer = account.call("ssm", "StartSession", **request.call())
        except CloudError as error:
            if error.code == "TargetNotConnected":
                raise _not_connected(request.target) from error
            raise
        self._session, self._address, self._token = _way_in(answer)

    @property
    def session(self) -> str:
        return self._session

    def resume(self) -> bool:
        answer = self._account.call("ssm", "ResumeSession", SessionId=self._session)
        _, self._address, self._token = _way_in(answer)
        return bool(self._token)

    def terminate(self) -> None:
        """End the session, if it can be: nobody waits for it any more."""
        with contextlib.suppress(PcinfraError):
            self._account.call("ssm", "TerminateSession", SessionId=self._session)

    def open(self) -> WebSocket:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        address = urlsplit(self._address)
        if address.scheme != "wss" and address.hostname not in ("127.0.0.1", "localhost"):
            raise PcinfraError("the address of the session is not encrypted", where=self._session)
        headers = {} if _signed(address.query) else self._account.signature("ssmmessages", self._address)
        # Nothing stands between us and ourselves, whatever the environment says of proxies.
        proxy: Literal[True] | None = None if address.scheme == "ws" else True
        try:
            connection = connect(
                self._address,
                additional_headers=headers,
                compression=None,
                max_size=_LARGEST,
                open_timeout=_PATIENCE,
                close_timeout=2,
                ping_interval=60,
                ping_timeout=None,
                logger=_SILENT,
                proxy=proxy,
                user_agent_header="pcinfra",
            )
            connection.send(self._opening())
        except (WebSocketException, OSError, ValueError) as error:
            raise _refused(address.hostname, error, self._session) from None
        return WebSocket(connection)

    def _opening(self) -> str:
        return json.dumps(
            {
                "MessageSchemaVersion": "1.0",
                "RequestId": str(uuid.uuid4()),
                "TokenValue": self._token,
                "ClientId": str(uuid.uuid4()),
                "ClientVersion": self._version,
            }
        )


def _way_in(answer: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(answer["SessionId"]), str(answer.get("StreamUrl") or ""), str(answer.get("TokenValue") or "")


def _signed(query: str) -> bool:
    return any(name.startswith("X-Amz-") for name in parse_qs(query))


def _refused(host: str | None, error: Exception, session: str) -> CloudError:
    """Say what went wrong without what was sent."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        why = f"you may not open the stream of this session: {host} answers {status}"
        return AccessDenied(why, where=session, hint="pcinfra iam-policy   (ssmmessages:OpenDataChannel)")
    said = f"it answers {status}" if status else _plain(error)
    return Unreachable(f"{host} cannot be reached for the session: {said}", where=session)


def _plain(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


def _not_connected(target: str) -> CloudError:
    return Unreachable(
        "Session Manager does not reach it: it does not run, its agent does not, or its role does not let it",
        where=target,
        hint=f"aws ssm describe-instance-information --filters Key=InstanceIds,Values={target}",
        code="TargetNotConnected",
    )
