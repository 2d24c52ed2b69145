"""A build context: the files that an image is made of, and their digest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pcinfra import assets
from pcinfra.errors import Refused

BUILTIN = "builtin:"


def folder(context: str) -> Path:
    """Return the folder that ``image.context`` names: ``builtin:NAME``, or a path from the working directory.

    Raises:
        Refused: there is no such folder, or it has no Dockerfile.
    """
    builtin = context.startswith(BUILTIN)
    path = assets.folder("containers") / context.removeprefix(BUILTIN) if builtin else Path(context).expanduser()
    if not (path / "Dockerfile").is_file():
        raise Refused(
            f"no Dockerfile in {path}",
            where="image.context",
            hint="builtin:pytorch, or the path of a folder with a Dockerfile, in pcinfra.yaml",
        )
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of every file's path, mode and content below ``path``."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        mode = "x" if file.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(os.fsencode(f"{file.relative_to(path).as_posix()}\0{mode}\0{content}\n"))
    return total.hexdigest()
