"""What a session is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """The parameters of StartSession.

    Args:
        document: empty for Session Manager's own, a shell of sh as ``ssm-user``.
        takes_pipe: whether the command of a document that runs one may read a pipe in the terminal's place.

    Source: Systems Manager user guide, "Starting a session (port forwarding)", "Starting a session (interactive and
    noninteractive commands)" and "Allow and control permissions for SSH connections"; the documents themselves.
    """

    target: str
    document: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    takes_pipe: bool = False

    @classmethod
    def shell(cls, target: str) -> Request:
        """A shell of Session Manager's own."""
        return cls(target)

    @classmethod
    def command(cls, target: str, command: str, takes_pipe: bool = False) -> Request:
        """A command of sh in a terminal."""
        return cls(target, "AWS-StartInteractiveCommand", {"command": command}, takes_pipe)

    @classmethod
    def forward(cls, target: str, local: int, port: int, host: str = "") -> Request:
        """A port of this machine that leads to one of the instance, or of ``host`` as the instance sees it."""
        ports = {"portNumber": str(port), "localPortNumber": str(local)}
        if host:
            return cls(target, "AWS-StartPortForwardingSessionToRemoteHost", {**ports, "host": host})
        return cls(target, "AWS-StartPortForwardingSession", ports)

    @classmethod
    def ssh(cls, target: str, port: int) -> Request:
        """The bytes of one connection to a port of the instance."""
        return cls(target, "AWS-StartSSHSession", {"portNumber": str(port)})

    @property
    def forwards(self) -> int:
        """The port of this machine that leads there; 0: none does."""
        return int(self.parameters.get("localPortNumber", "0"))

    def call(self) -> dict[str, Any]:
        """Return it as the API wants it."""
        parameters = {name: [value] for name, value in self.parameters.items()}
        named = {"DocumentName": self.document, "Parameters": parameters} if self.document else {}
        return {"Target": self.target, **named}
