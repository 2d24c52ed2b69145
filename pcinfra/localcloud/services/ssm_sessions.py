"""Session Manager's API.

Source: Systems Manager API reference, StartSession, ResumeSession, TerminateSession, DescribeSessions; its documents
SSM-SessionManagerRunShell, AWS-StartInteractiveCommand, AWS-StartPortForwardingSession,
AWS-StartPortForwardingSessionToRemoteHost and AWS-StartSSHSession.

Sessions are no part of what is saved: they end with the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from pcinfra.localcloud.services.errors import ServiceError
from pcinfra.localcloud.services.patching import put
from pcinfra.localcloud.sessions.gateway import Gateway, Nodes, Request, Session

_SHELL = "SSM-SessionManagerRunShell"
_PORT = re.compile(r"[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]")
_ANY_PORT = re.compile(rf"0|{_PORT.pattern}")
_HOST = re.compile(r"[^,$^&()!;'\"<>`{}\[\]|#=]{3,}")
_TEXT = re.compile(r".+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """A document of AWS's own for sessions: the type of session, and its parameters with what each must be."""

    kind: str
    parameters: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


_FORWARDING = {"type": "LocalPortForwarding"}
_PORTS = {"portNumber": _PORT, "localPortNumber": _ANY_PORT}
_USUAL = {"portNumber": "80", "localPortNumber": "0"}
DOCUMENTS = {
    _SHELL: Document("Standard_Stream"),
    "AWS-StartInteractiveCommand": Document("InteractiveCommands", {"command": _TEXT}),
    "AWS-StartPortForwardingSession": Document("Port", _PORTS, _USUAL, _FORWARDING),
    "AWS-StartPortForwardingSessionToRemoteHost": Document("Port", {**_PORTS, "host": _HOST}, _USUAL, _FORWARDING),
    "AWS-StartSSHSession": Document("Port", {"portNumber": _PORT}, {"portNumber": "22"}),
}


def install(nodes: Nodes) -> Gateway:
    """Make sessions open on ``nodes``; return what holds them."""
    gateway = Gateway(nodes)
    operations = _Operations(gateway, nodes)
    for name in ("start_session", "resume_session", "terminate_session", "describe_sessions"):
        put(SimpleSystemManagerResponse, **{name: _as_method(getattr(operations, name))})
    return gateway


def _as_method(operation: Any) -> Any:
    def method(self: Any) -> ActionResult:
        return ActionResult(operation(self, self._get_param))

    return method


class _Operations:
    """The operations, each from the call's parameters to the answer."""

    def __init__(self, gateway: Gateway, nodes: Nodes) -> None:
        self._gateway, self._nodes = gateway, nodes

    def start_session(self, call: Any, asked: Any) -> dict[str, Any]:
        name, target = asked("DocumentName") or _SHELL, str(asked("Target") or "")
        document = _document(name, call)
        properties = _properties(document, asked("Parameters") or {})
        if not self._connected(call, target):
            raise ServiceError("TargetNotConnected", f"{target} is not connected.")
        owner = f"arn:aws:sts::{call.current_account}:user/moto"
        request = Request(target, name, document.kind, properties, owner, str(asked("Reason") or ""))
        return self._way_in(self._gateway.start(request))

    def resume_session(self, call: Any, asked: Any) -> dict[str, Any]:
        """A session that has ended has no token any more: the user guide's "timed out"."""
        session = self._gateway.sessions.get(str(asked("SessionId")))
        if session is None:
            raise ServiceError("DoesNotExistException", f"Session {asked('SessionId')} does not exist.")
        return self._way_in(session.renewed())

    def terminate_session(self, call: Any, asked: Any) -> dict[str, Any]:
        """One that has ended, or never was, is no error."""
        session = self._gateway.sessions.get(str(asked("SessionId")))
        if session:
            session.end()
        return {"SessionId": str(asked("SessionId"))}

    def describe_sessions(self, call: Any, asked: Any) -> dict[str, Any]:
        if asked("NextToken"):
            raise ServiceError("InvalidNextToken", "The specified token is not valid.")
        active = asked("State") == "Active"
        rows = [_row(each) for each in self._gateway.sessions.values() if (each.ended is None) == active]
        wanted = [(each["key"], each["value"]) for each in asked("Filters") or []]
        rows = [row for row in rows if all(_matches(row, key, value) for key, value in wanted)]
        return {"Sessions": sorted(rows, key=lambda row: row["StartDate"], reverse=True)[: asked("MaxResults")]}

    def _connected(self, call: Any, target: str) -> bool:
        reservations = ec2_backends[call.current_account][call.region].reservations.values()
        running = (each for held in reservations for each in held.instances if each._state.name == "running")
        return any(each.id == target for each in running) and self._nodes.reaches(target)

    def _way_in(self, session: Session) -> dict[str, Any]:
        token = session.token
        return {
            "SessionId": session.identity,
            **({"TokenValue": token, "StreamUrl": self._gateway.url(session)} if token else {}),
        }


def _document(name: str, call: Any) -> Document:
    if name in DOCUMENTS:
        return DOCUMENTS[name]
    if name.startswith("AWS-") or name in getattr(call.ssm_backend, "_documents", {}):
        raise NotImplementedError(f"the document {name}")
    raise ServiceError("InvalidDocument", f"Document with name {name} does not exist.")


def _properties(document: Document, given: Mapping[str, list[str]]) -> dict[str, str]:
    unknown = sorted(set(given) - set(document.parameters))
    if unknown:
        raise ServiceError("InvalidParameters", f"Parameters {unknown} are not defined in the document.")
    values = {**document.defaults, **{name: "".join(value) for name, value in given.items()}}
    for name, pattern in document.parameters.items():
        if name not in values:
            raise ServiceError("InvalidParameters", f"Parameter {name} is required.")
        if not pattern.fullmatch(values[name]):
            raise ServiceError("InvalidParameters", f"Parameter {name} does not match {pattern.pattern}.")
    return {**values, **document.fixed}


_FILTERS = {"Target": "Target", "Owner": "Owner", "Status": "Status", "SessionId": "SessionId"}


def _matches(row: Mapping[str, Any], key: str, value: str) -> bool:
    if key == "InvokedAfter":
        return bool(row["StartDate"].isoformat() >= value.rstrip("Z"))
    if key == "InvokedBefore":
        return bool(row["StartDate"].isoformat() <= value.rstrip("Z"))
    if key not in _FILTERS:
        raise ServiceError("InvalidFilterKey", f"The specified filter key {key} is not valid.")
    return bool(row[_FILTERS[key]] == value)


def _row(session: Session) -> dict[str, Any]:
    row = {
        "SessionId": session.identity,
        "Target": session.request.target,
        "Status": session.status,
        "StartDate": session.begun,
        "DocumentName": session.request.document,
        "Owner": session.request.owner,
        "AccessType": "Standard",
    }
    if session.request.reason:
        row["Reason"] = session.request.reason
    return {**row, "EndDate": session.ended} if session.ended else row
