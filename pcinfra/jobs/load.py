"""A job file read and checked, with the script that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pcinfra import assets
from pcinfra.jobs.spec import NAME, JobSpec, contradictions
from pcinfra.project.positions import Finding, read_text, validate

MAX_SCRIPT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """A JobSpec with a name, and the content of its script (empty when it has none)."""

    spec: JobSpec
    script: bytes = b""


def load(path: Path) -> Job:
    """Return the job that ``path`` describes.

    Raises:
        InputError: every mistake in it, with line and column.
    """
    file = find(path)
    folder = file.parent

    def script(spec: JobSpec) -> Iterator[Finding]:
        why = _unreadable(folder / spec.script) if spec.script else ""
        if why:
            yield Finding(("script",), why, "a path beside the job file")

    spec = validate(JobSpec, read_text(file, str(path)), str(path), [contradictions, script])
    named = spec if spec.name else spec.model_copy(update={"name": _default_name(file)})
    return Job(named, (folder / spec.script).read_bytes() if spec.script else b"")


def find(path: Path) -> Path:
    """Return ``path`` itself, or the example that travels with pcinfra where there is no such file."""
    if not path.exists() and path.parent == Path("examples"):
        shipped = assets.folder("examples") / path.name
        return shipped if shipped.is_file() else path
    return path


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


def _default_name(file: Path) -> str:
    return NAME.fix(file.stem) or "job"
