"""The ways into a head node that need no open port: Session Manager, with its plug-in for the AWS CLI.

Source: Systems Manager user guide, "Starting a session (AWS CLI)", "Starting a session (port forwarding)" and
"Allow and control permissions for SSH connections"; its documents AWS-StartPortForwardingSession,
AWS-StartPortForwardingSessionToRemoteHost and AWS-StartSSHSession.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pcinfra.errors import MissingTool, UsageError

if TYPE_CHECKING:
    from pcinfra.aws import Target
    from pcinfra.shell import Shell

PLUGIN = "session-manager-plugin"
_PLUGIN_HINT = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)
_FORWARD = re.compile(r"(\d{1,5}):(?:([A-Za-z0-9.-]{1,253}):)?(\d{1,5})")
_KEY = re.compile(r"(ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/=]+(?: [^\n\r\0]*)?")


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of this machine that leads to ``port`` of the head node, or of ``host`` as the head node sees it."""

    local: int
    port: int
    host: str = ""

    @classmethod
    def parse(cls, text: str) -> Forward:
        """Return the Forward that ``8888:8888`` or ``3306:db.internal:3306`` means.

        Raises:
            UsageError: it means none.
        """
        match = _FORWARD.fullmatch(text)
        local, port = (int(match[1]), int(match[3])) if match else (0, 0)
        if not match or not (1 <= local <= 65535 and 1 <= port <= 65535):
            raise UsageError("not LOCAL:PORT or LOCAL:HOST:PORT", where=f"--forward {text}", hint="--forward 8888:8888")
        return cls(local, port, match[2] or "")


def require(shell: Shell) -> None:
    """Refuse where a session cannot be started.

    Raises:
        MissingTool: the AWS CLI or the plug-in is not installed.
    """
    if not shell.which("aws"):
        raise MissingTool("the AWS CLI is not installed", where="aws", hint="pip install awscli")
    if not shell.which(PLUGIN):
        raise MissingTool("the Session Manager plug-in of the AWS CLI is not installed", where=PLUGIN,
                          hint=_PLUGIN_HINT)  # fmt: skip


def session(target: Target, instance: str, user: str, forward: Forward | None = None) -> list[str]:
    """Return the command that opens a shell as ``user`` (empty: as Session Manager's own), or forwards a port."""
    start = [*_start(target), "--target", instance]
    if forward:
        return [*start, *_forwarding(forward)]
    if not user:
        return start
    # "Interactive commands": the one document of AWS's own that runs a program of ours in a terminal.
    parameters = json.dumps({"command": [f"sudo -i -u {user}"]})
    return [*start, "--document-name", "AWS-StartInteractiveCommand", "--parameters", parameters]


def _start(target: Target) -> list[str]:
    profile = ["--profile", target.profile] if target.profile else []
    return ["aws", "ssm", "start-session", "--region", target.region, *profile]


def _forwarding(forward: Forward) -> list[str]:
    values = {"portNumber": [str(forward.port)], "localPortNumber": [str(forward.local)]}
    document = "AWS-StartPortForwardingSession"
    if forward.host:
        values["host"], document = [forward.host], "AWS-StartPortForwardingSessionToRemoteHost"
    return ["--document-name", document, "--parameters", json.dumps(values)]


def ssh_config(target: Target, cluster: str, instance: str, user: str, identity: str = "") -> str:
    """Return the lines for ~/.ssh/config with which ``ssh CLUSTER``, scp and rsync go through Session Manager.

    Args:
        identity: file of the private key; empty for ssh's usual ones.
    """
    command = shlex.join(_start(target))
    proxy = f"{command} --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"
    lines = [
        f"Host {cluster}",
        f"  HostName {instance}",
        f"  User {user}",
        f"  ProxyCommand {proxy}",
        # The instance id is never used again, and the way to it is proven by IAM.
        "  StrictHostKeyChecking accept-new",
        "  ServerAliveInterval 30",
    ]
    if identity:
        lines.append(f'  IdentityFile "{identity}"')
    return "\n".join(lines) + "\n"


def authorizing(public_key: str) -> str:
    """Return the bash script that lets the owner of ``public_key`` in; run twice, it changes nothing.

    Raises:
        UsageError: it is no public key of ssh's.
    """
    line = public_key.strip()
    if not _KEY.fullmatch(line):
        raise UsageError("is not one public key of ssh", where="--key", hint="--key ~/.ssh/id_ed25519.pub")
    file = '"$HOME/.ssh/authorized_keys"'
    return (
        f'umask 077; mkdir -p -- "$HOME/.ssh" && touch -- {file} || exit\n'
        f"grep -qxF -- {shlex.quote(line)} {file} || printf '%s\\n' {shlex.quote(line)} >>{file}\n"
    )
