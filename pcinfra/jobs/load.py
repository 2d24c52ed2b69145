"""A job file read and checked, with the script and the code that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pcinfra import assets
from pcinfra.jobs import code
from pcinfra.jobs.fields import NAME
from pcinfra.jobs.rules import contradictions
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Finding, Rule, read_text, validate
from pcinfra.shell import Shell, Subprocess

MAX_SCRIPT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """A JobSpec with a name, the content of its script and the archive of its code (empty when it has none)."""

    spec: JobSpec
    script: bytes = b""
    code: bytes = b""


def load(path: Path, shell: Shell | None = None, rules: Sequence[Rule[JobSpec]] = ()) -> Job:
    """Return the job that ``path`` describes.

    Args:
        shell: runs git, where the job's code is in it.
        rules: what the backend asks of a job besides.

    Raises:
        InputError: every mistake in it, with line and column.
    """
    file = find(path)
    folder = file.parent

    def files(spec: JobSpec) -> Iterator[Finding]:
        why = _unreadable(folder / spec.script) if spec.script else ""
        if why:
            yield Finding(("script",), why, "a path beside the job file")
        if spec.code and not (folder / spec.code.path).is_dir():
            yield Finding(
                ("code", "path"), f"there is no folder {folder / spec.code.path}", "a path beside the job file"
            )

    spec = validate(JobSpec, read_text(file, str(path)), str(path), [contradictions, files, *rules])
    named = spec if spec.name else spec.model_copy(update={"name": _default_name(file)})
    script_text = (folder / spec.script).read_bytes() if spec.script else b""
    return Job(named, script_text, code.pack(spec.code, folder, shell or Subprocess()) if spec.code else b"")


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
