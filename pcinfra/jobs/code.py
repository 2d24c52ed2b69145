"""The code that travels with a job, as a compressed tar archive: the same bytes for the same files."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pcinfra.errors import CommandFailed, UsageError
from pcinfra.jobs.spec import Code
from pcinfra.shell import Shell

MAX_BYTES = 512 << 20  # of the archive


def pack(code: Code, folder: Path, shell: Shell) -> bytes:
    """Return the archive of ``code``.

    Args:
        folder: where the job file is.

    Raises:
        UsageError: it is not in git where it should be, there is no such commit, it is empty, or too large.
    """
    top = folder / code.path
    if code.source == "commit":
        tar = _commit(top, code.commit, shell)
    else:
        names = _worktree(top, shell) if code.source == "worktree" else _files(top)
        tar = _tar(top, names)
    packed = gzip.compress(tar, mtime=0)
    if not names_in(tar):
        raise UsageError("has no files to send", where=f"code {top}", hint="code: {source: directory}")
    if len(packed) > MAX_BYTES:
        why = f"is {len(packed) >> 20} MiB, compressed; at most {MAX_BYTES >> 20} travel with a job"
        raise UsageError(why, where=f"code {top}", hint="bring data with: pcinfra data push")
    return packed


def names(archive: bytes) -> list[str]:
    """Return the names of the files in an archive that :func:`pack` made."""
    return names_in(gzip.decompress(archive)) if archive else []


def names_in(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return [entry.name for entry in opened if not entry.isdir()]


def _commit(top: Path, commit: str, shell: Shell) -> bytes:
    """Return a commit as a tar archive, with the commits of its submodules that it records."""
    parts = list(_archives(top, commit, shell, ""))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _archives(top: Path, commit: str, shell: Shell, prefix: str) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "code.tar"
        _git(top, shell, "archive", "--format=tar", f"--prefix={prefix}", f"--output={out}", commit, "--", ".")
        yield out.read_bytes()
    for line in _git(top, shell, "ls-tree", "-r", "-z", commit, "--", ".").split("\0"):
        what, _, name = line.partition("\t")
        if not what.startswith("160000 "):  # gitlinks(7)
            continue
        inside, recorded = top / name, what.split()[-1]
        if not (inside / ".git").exists():
            why = f"the submodule {prefix}{name} is not here"
            raise UsageError(why, where=f"code {top}", hint=f"git submodule update --init --recursive {name}")
        if shell.run(["git", "-C", str(inside), "cat-file", "-e", f"{recorded}^{{commit}}"]).status:
            why = f"the submodule {prefix}{name} has no commit {recorded[:12]}, which is recorded"
            raise UsageError(why, where=f"code {top}", hint=f"git submodule update --init --recursive {name}")
        yield from _archives(inside, recorded, shell, f"{prefix}{name}/")


def _joined(parts: Iterable[bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for part in parts:
            with tarfile.open(fileobj=io.BytesIO(part)) as opened:
                for entry in opened:
                    tar.addfile(entry, opened.extractfile(entry) if entry.isreg() else None)
    return buffer.getvalue()


def _worktree(top: Path, shell: Shell, prefix: str = "") -> Iterator[str]:
    """Yield what git tracks and what it would track: a file that is deleted but tracked is not there to send. Of a
    submodule that is here it is the same."""
    listed = _git(top, shell, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    for name in sorted(listed.split("\0")):
        place = top / name
        if not name or not os.path.lexists(place):
            continue
        if not place.is_dir() or place.is_symlink():
            yield prefix + name
        elif not name.endswith("/") and (place / ".git").exists():
            yield from _worktree(place, shell, f"{prefix}{name}/")


def _git(top: Path, shell: Shell, *words: str) -> str:
    try:
        return shell.run(["git", "-C", str(top), *words]).check().stdout
    except UnicodeDecodeError:
        why = "has a file whose name is not UTF-8"
        raise UsageError(why, where=f"code {top}", hint="code: {source: directory}") from None
    except CommandFailed as error:
        last = (error.stderr.strip().splitlines() or [f"git: exit status {error.status}"])[-1]
        raise UsageError(last, where=f"code {top}", hint="code: {source: directory}   sends it without git") from error


def _files(top: Path) -> Iterator[str]:
    """Yield every file below ``top`` but git's own."""
    for place, folders, files in os.walk(top):
        folders[:] = sorted(folder for folder in folders if folder != ".git")
        links = [folder for folder in folders if (Path(place) / folder).is_symlink()]
        yield from (os.path.relpath(Path(place) / name, top) for name in sorted([*files, *links]))


def _tar(top: Path, files: Iterable[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in files:
            entry = tar.gettarinfo(str(top / name), name)
            if not (entry and (entry.isreg() or entry.issym() or entry.islnk())):
                continue  # sockets, pipes, devices
            _plain(entry)
            if entry.issym():
                tar.addfile(entry)
                continue
            entry.type, entry.linkname, content = tarfile.REGTYPE, "", (top / name).read_bytes()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _plain(entry: tarfile.TarInfo) -> None:
    """Leave out what differs from machine to machine."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.mode & stat.S_IXUSR else 0o644
