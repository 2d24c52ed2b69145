"""A job file read and checked, with the script and the code that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pcinfra import assets
from pcinfra.errors import Problem
from pcinfra.jobs import code
from pcinfra.jobs.fields import NAME
from pcinfra.jobs.rules import contradictions
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Document, Finding, KeyPath, Rule, check, parse, read_text
from pcinfra.shell import Shell, Subprocess

MAX_SCRIPT = 256 * 1024

Said = Sequence[tuple[KeyPath, Any, str]]
"""What the command line says: path of a field, its value, and the flag."""


@dataclass(frozen=True, slots=True)
class Job:
    """A JobSpec with a name, the content of its script and the archive of its code (empty when it has none)."""

    spec: JobSpec
    script: bytes = b""
    code: bytes = b""


@dataclass(frozen=True)
class _Overridden(Document):
    """A job file, some of whose values the command line says. A problem of those is the flag's."""

    said: Mapping[KeyPath, str] = field(default_factory=dict)

    def problem(self, path: KeyPath, why: str, hint: str = "", *, at_key: bool = False) -> Problem:
        for length in range(len(path), 0, -1):
            if path[:length] in self.said:
                flag, key = self.said[path[:length]], f"{path[-1]}: "
                instead = f"{flag} {hint.removeprefix(key)}" if hint.startswith(key) else hint
                return Problem(flag, 0, 0, "", why, instead)
        return super().problem(path, why, hint, at_key=at_key)


def load(path: Path | None, shell: Shell | None = None, rules: Sequence[Rule[JobSpec]] = (), said: Said = ()) -> Job:
    """Return the job that ``path`` describes.

    Args:
        path: None: nothing but what is ``said``.
        shell: runs git, where the job's code is in it.
        rules: what the backend asks of a job besides.
        said: goes before what the file says.

    Raises:
        InputError: every mistake in it, with line and column, or with its flag.
    """
    file = find(path) if path else None
    document = parse(read_text(file, str(path)), str(path)) if file else parse("", "the command line")
    folder = file.parent if file else Path()
    if said:
        document = _overridden(document, said)
    spec = check(JobSpec, document, [contradictions, _files_of(folder), *rules])
    return finished(spec, folder, shell or Subprocess(), _default_name(file, spec))


def finished(spec: JobSpec, folder: Path, shell: Shell, name: str = "") -> Job:
    """Return the job of a ``spec`` without mistakes.

    Args:
        folder: where its script and its code are looked for.
        name: taken where the spec has none.
    """
    named = spec if spec.name else spec.model_copy(update={"name": name or _default_name(None, spec)})
    script = (folder / spec.script).read_bytes() if spec.script else b""
    return Job(named, script, code.pack(spec.code, folder, shell) if spec.code else b"")


def findings(spec: JobSpec, folder: Path) -> list[Finding]:
    """Return everything that is wrong with a ``spec`` whose script and code are in ``folder``."""
    return [*contradictions(spec), *_files_of(folder)(spec)]


def find(path: Path) -> Path:
    """Return ``path`` itself, or the example that travels with pcinfra where there is no such file."""
    if not path.exists() and path.parent == Path("examples"):
        shipped = assets.folder("examples") / path.name
        return shipped if shipped.is_file() else path
    return path


def _overridden(document: Document, said: Said) -> Document:
    data = deepcopy(document.data) if isinstance(document.data, dict) else document.data
    for path, value, _ in said:
        inner = data
        for step in path[:-1]:
            inner = inner.setdefault(str(step), {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[str(path[-1])] = value
    kept = {each.name: getattr(document, each.name) for each in fields(document)}
    return _Overridden(**{**kept, "data": data}, said={path: flag for path, _, flag in said})


def _files_of(folder: Path) -> Rule[JobSpec]:
    def rule(spec: JobSpec) -> Iterator[Finding]:
        why = _unreadable(folder / spec.script) if spec.script else ""
        if why:
            yield Finding(("script",), why, "a path beside the job file")
        if spec.code and not (folder / spec.code.path).is_dir():
            why = f"there is no folder {folder / spec.code.path}"
            yield Finding(("code", "path"), why, "a path beside the job file")

    return rule


def _unreadable(file: Path) -> str:
    """Return why ``file`` cannot be a script; empty when it can."""
    try:
        size = file.stat().st_size if file.is_file() else None
        if size is None:
            return f"there is no file {file}"
        with file.open("rb"):
            pass
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return f"has {size} bytes; a script has at most {MAX_SCRIPT}" if size > MAX_SCRIPT else ""


def _default_name(file: Path | None, spec: JobSpec) -> str:
    words = (spec.script, *spec.command)
    return NAME.fix(file.stem if file else Path(next(filter(None, words), "")).stem) or "job"
