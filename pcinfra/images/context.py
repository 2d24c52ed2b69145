"""A build context: the files that an image is made of, and their digest."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pcinfra import assets
from pcinfra.errors import Refused
from pcinfra.images import ignore

BUILTIN = "builtin:"


def folder(context: str) -> Path:
    """Return the folder that an image's ``context`` names: ``builtin:NAME``, or a path from the working directory.

    Raises:
        Refused: there is no such folder, or it has no Dockerfile.
    """
    builtin = context.startswith(BUILTIN)
    path = assets.folder("containers") / context.removeprefix(BUILTIN) if builtin else Path(context).expanduser()
    if not (path / "Dockerfile").is_file():
        raise Refused(
            f"no Dockerfile in {path}",
            where=f"context {context}",
            hint="builtin:pytorch, or the path of a folder with a Dockerfile, in pcinfra.yaml",
        )
    return path


def files(path: Path) -> list[Path]:
    """Return every file below ``path`` that an image can be made of, in order.

    What ``.dockerignore`` excludes is none, and neither are Python's caches. The Dockerfile and ``.dockerignore``
    always go along, since whatever builds needs them (Docker, .dockerignore files).
    """
    ignored = ignore.read(path)
    needed = {path / "Dockerfile", ignore.file_of(path)}
    return sorted(
        file for file in _walk(path, ignored) if file in needed or not ignored.excludes(_relative(file, path))
    )


def _walk(path: Path, ignored: ignore.Ignore) -> Iterator[Path]:
    """Yield files; a folder of which nothing can be wanted is not looked into."""
    for folder, names, found in os.walk(path):
        here = Path(folder)
        names[:] = [
            name
            for name in names
            if name != "__pycache__" and not (ignored.prunes and ignored.excludes(_relative(here / name, path)))
        ]
        yield from (here / name for name in found if (here / name).is_file())


def _relative(file: Path, path: Path) -> str:
    return file.relative_to(path).as_posix()


def digest(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of every file's path, mode and content below ``path``."""
    total = hashlib.sha256()
    for file in files(path):
        mode = "x" if _executable(file) else "-"
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(os.fsencode(f"{_relative(file, path)}\0{mode}\0{content}\n"))
    return total.hexdigest()


def tag(digest: str) -> str:
    """Return the tag of images made of the files with ``digest``."""
    return f"context-{digest[:16]}"


def _executable(file: Path) -> bool:
    return bool(file.stat().st_mode & 0o100)


def archive(path: Path) -> bytes:
    """Return a zip of every file below ``path``, the same for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files(path):
            entry = zipfile.ZipInfo(_relative(file, path))
            entry.external_attr = (0o755 if _executable(file) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, file.read_bytes())
    return buffer.getvalue()


_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@\s]+)")


@dataclass(frozen=True, slots=True)
class Base:
    """A base image in somebody's ECR; pulling it takes a login there and the right to."""

    account: str
    region: str
    repository: str
    registry: str


def private_bases(path: Path) -> tuple[Base, ...]:
    """Return the images of private ECR repositories that the Dockerfile starts from, each once."""
    text = (path / "Dockerfile").read_text(encoding="utf-8", errors="replace")
    found = dict.fromkeys(match for name in _FROM.findall(text) if (match := _ECR.match(name)))
    bases = (Base(m[1], m[2], m[3], m[0].partition("/")[0]) for m in found)
    return tuple(dict.fromkeys(bases))
