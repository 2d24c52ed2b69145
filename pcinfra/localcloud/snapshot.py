"""The file of a snapshot: one line that describes it, then the bytes; replaced as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pcinfra.errors import PcinfraError

MAGIC = "pcinfra-local-state"


def write(path: Path, header: dict[str, Any], payload: bytes) -> None:
    """Replace ``path``; a crash at any moment leaves either the old content or the new one."""
    head = {"magic": MAGIC, "sha256": hashlib.sha256(payload).hexdigest(), **header}
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(head).encode() + b"\n")
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(path: Path, stamp: dict[str, str]) -> bytes | None:
    """Return the bytes of the snapshot, or None when there is none.

    Args:
        stamp: the versions that wrote it must be these.

    Raises:
        PcinfraError: it is damaged, or of other versions.
    """
    try:
        head, _, payload = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    header = _parse(head)
    if header.get("sha256") != hashlib.sha256(payload).hexdigest():
        raise PcinfraError("the saved state is damaged", where=str(path), hint="pcinfra local reset")
    if header.get("stamp") != stamp:
        theirs = ", ".join(f"{name} {version}" for name, version in header.get("stamp", {}).items())
        ours = ", ".join(f"{name} {version}" for name, version in stamp.items())
        raise PcinfraError(
            f"the saved state is of {theirs}; this is {ours}", where=str(path), hint="pcinfra local reset"
        )
    return payload


def read_header(path: Path) -> dict[str, Any]:
    """Return what describes the snapshot; empty when there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            return _parse(file.readline())
    except FileNotFoundError:
        return {}


def _parse(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError:
        return {}
    return header if isinstance(header, dict) and header.get("magic") == MAGIC else {}
