"""A JobSpec as the files of a Slurm run directory. Pure: text in, text out.

Every value of the user's goes through :func:`shlex.quote` into a file that bash reads as a script; none goes into a
here-document, a ``bash -c`` or an argument of sbatch. Nothing in the files depends on where the run directory is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from pcinfra.jobs.manifest import File, Manifest
from pcinfra.jobs.slurm.containers import enroot_uri, mounts
from pcinfra.jobs.slurm.starters import REGISTRY
from pcinfra.jobs.spec import JobSpec

PREFIX = "pci-"  # of the Slurm job name; the rest is the run id, so that a run is found by the name alone

_BODY = Path(__file__).parent / "scripts" / "batch.sh"
_ALLOWED = {
    "cpus-per-task", "exclusive", "gpus-per-node", "job-name", "mem", "no-requeue", "nodes", "ntasks-per-node",
    "open-mode", "output", "partition", "requeue", "signal", "time", "wait-all-nodes",
}  # fmt: skip


def render(spec: JobSpec, run: str, script: bytes = b"", code: bytes = b"") -> Manifest:
    """Return the run directory of ``spec``.

    Args:
        run: the run's id.
        script: the content of the file that ``spec.script`` names.
        code: a compressed tar archive of what ``spec.code`` names.

    Raises:
        ValueError: the job has nothing to run, or two things.
    """
    if bool(spec.command) == bool(spec.script):
        raise ValueError("a job has either a command or a script")
    files = [
        File("spec.json", spec.model_dump_json(indent=2, exclude={"kubernetes"}).encode() + b"\n"),
        File("job.sbatch", job_sbatch(spec, run).encode()),
        File("node.sh", node_sh(spec).encode()),
        File("command.sh", command_sh(spec, shebang=script.startswith(b"#!")).encode()),
        File("env.sh", env_sh(spec).encode()),
    ]
    if spec.script:
        files.append(File("script", script, 0o700))
    if spec.code:
        files.append(File("code.tar.gz", code))
    return Manifest(run, tuple(files), spec.logs or "", needs_containers=_in_container(spec) == "required")


def job_sbatch(spec: JobSpec, run: str) -> str:
    """Return the batch script: the options of sbatch, then what runs on the first node of the job."""
    tasks = REGISTRY[spec.launcher].tasks(spec)
    options = [
        directive("job-name", PREFIX + run),
        directive("nodes", str(spec.nodes)),
        directive("ntasks-per-node", str(tasks)),
        directive("gpus-per-node", str(spec.gpus)) if spec.gpus else "",
        directive("cpus-per-task", str(spec.cpus // tasks)) if spec.cpus else directive("exclusive"),
        directive("mem", f"{spec.memory}G") if spec.memory else "",
        directive("partition", spec.queue) if spec.queue else "",
        directive("time", spec.time_limit) if spec.time_limit else "",
        directive("wait-all-nodes", "1"),
        directive("requeue" if spec.requeue else "no-requeue"),
        directive("open-mode", "append"),
        directive("signal", f"B:USR1@{spec.grace}"),
        directive("output", "logs/batch.log"),
    ]
    settings = [f"{name}={value}" for name, value in _settings(spec)]
    return "\n".join(["#!/bin/bash", *filter(None, options), *settings, _BODY.read_text()])


def _settings(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield what batch.sh expects to be set, as bash."""
    yield "requeue", str(spec.requeue)
    yield "grace", str(spec.grace)
    yield "checkpoints", shlex.quote(spec.checkpoints or "")
    yield "data", shlex.quote(spec.data or "")
    yield "container", _in_container(spec)
    yield "image", shlex.quote(enroot_uri(spec.image) if spec.image else "")
    yield "mounts", shlex.quote(mounts(spec))
    yield "step", f"({' '.join(map(shlex.quote, REGISTRY[spec.launcher].srun))})"


def _in_container(spec: JobSpec) -> str:
    return spec.container if spec.image else "off"


def directive(option: str, value: str | None = None) -> str:
    """Return one ``#SBATCH`` line.

    sbatch's own tokenizer reads it: quotes group, an unquoted ``#`` begins a comment, a backslash is dropped even
    inside quotes, and the line ends where the text line does (sbatch's ``_get_next_opt``). What it would change is
    refused.

    Raises:
        ValueError: an option that pcinfra does not use, or a value that sbatch would not read as it stands.
    """
    if option not in _ALLOWED:
        raise ValueError(f"--{option} is not an option that pcinfra gives to sbatch")
    if value is None:
        return f"#SBATCH --{option}"
    if any(char in value for char in "\n\r\\\0"):
        raise ValueError(f"--{option}: sbatch cannot read a line break, a backslash or a NUL in {value!r}")
    return f"#SBATCH --{option}={shlex.quote(value)}"


def node_sh(spec: JobSpec) -> str:
    """Return what every node runs: it takes the job's environment and starts the command."""
    lines = ["#!/bin/bash", "# Runs on every node of the job.", "set -u", '. "$PCINFRA_RUN_DIR/env.sh" || exit']
    if spec.workdir:
        lines.append(f"cd -- {shlex.quote(spec.workdir)} || exit")
    elif spec.code:
        lines.append('cd -- "$PCINFRA_CODE" || exit')
    return "\n".join([*lines, *REGISTRY[spec.launcher].lines(spec), ""])


def command_sh(spec: JobSpec, *, shebang: bool = True) -> str:
    """Return what every process is at first: it becomes the command."""
    if spec.script:
        program = '"$PCINFRA_RUN_DIR/script"' if shebang else 'bash "$PCINFRA_RUN_DIR/script"'
        words = [program, *map(shlex.quote, spec.args)]
    else:
        words = ["--", *map(shlex.quote, spec.command)]
    return "\n".join(["# The command.", f"exec {' '.join(words)}", ""])


def env_sh(spec: JobSpec) -> str:
    """Return the job's environment as exports, for bash to read."""
    lines = (f"export {name}={shlex.quote(value)}" for name, value in spec.environment.items())
    return "\n".join(["# The environment of the job.", *lines, ""])
