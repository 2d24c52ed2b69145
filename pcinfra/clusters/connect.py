"""The ways into a head node that need no open port: sessions of Session Manager."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pcinfra.errors import UsageError
from pcinfra.sessions import Request

_DESTINATION = re.compile(r"(m?i-[0-9a-f]{8,17}):([1-9]\d{0,4})")
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


def request(instance: str, user: str, forward: Forward | None = None) -> Request:
    """Return the session that is a shell as ``user`` (empty: as Session Manager's own), or forwards a port."""
    if forward:
        return Request.forward(instance, forward.local, forward.port, forward.host)
    return Request.command(instance, f"sudo -i -u {user}", takes_pipe=True) if user else Request.shell(instance)


def ssh_config(proxy: Sequence[str], cluster: str, instance: str, user: str, identity: str = "") -> str:
    """Return the lines for ~/.ssh/config with which ``ssh CLUSTER``, scp and rsync go through Session Manager.

    Args:
        proxy: the program that passes the bytes on; it is told ``INSTANCE:PORT``.
        identity: file of the private key; empty for ssh's usual ones.
    """
    lines = [
        f"Host {cluster}",
        f"  HostName {instance}",
        f"  User {user}",
        f"  ProxyCommand {shlex.join(proxy).replace('%', '%%')} %h:%p",
        # The instance id is never used again, and the way to it is proven by IAM.
        "  StrictHostKeyChecking accept-new",
        "  ServerAliveInterval 30",
    ]
    if identity:
        lines.append(f'  IdentityFile "{identity}"')
    return "\n".join(lines) + "\n"


def destination(text: str) -> Request:
    """Return the session that passes ssh's bytes on to ``INSTANCE:PORT``.

    Raises:
        UsageError: it is none.
    """
    match = _DESTINATION.fullmatch(text)
    if not match:
        raise UsageError("not INSTANCE:PORT", where=f"--stdio {text}", hint="--stdio i-0123456789abcdef0:22")
    return Request.ssh(match[1], int(match[2]))


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
