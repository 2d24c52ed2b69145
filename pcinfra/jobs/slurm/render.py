"""A JobSpec as the files of a Slurm run directory. Pure: text in, text out.

Every value of the user's goes through :func:`shlex.quote` into a file that bash reads as a script; none goes into a
here-document, a ``bash -c`` or an argument of sbatch. Nothing in the files depends on where the run directory is.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from pcinfra.jobs.manifest import File, Manifest
from pcinfra.jobs.spec import JobSpec

PREFIX = "pci-"  # of the Slurm job name; the rest is the run id, so that a run is found by the name alone

_BODY = [Path(__file__).parent / "scripts" / name for name in ("attempt.sh", "batch.sh")]
# The moment at which the command begins, with image and nodes at hand: what came before was starting.
_BEGAN = '[ "${SLURM_NODEID:-0}" != 0 ] || printf "%(%s)T" -1 >"$PCINFRA_RUN_DIR/began.$PCINFRA_ATTEMPT" || :'
_ALLOWED = {
    "cpus-per-task", "exclusive", "gpus-per-node", "job-name", "no-requeue", "nodes", "ntasks-per-node",
    "open-mode", "output", "partition", "time", "wait-all-nodes",
}  # fmt: skip


def render(spec: JobSpec, run: str, script: bytes = b"") -> Manifest:
    """Return the run directory of ``spec``.

    Args:
        run: the run's id.
        script: the content of the file that ``spec.script`` names.

    Raises:
        ValueError: the job has nothing to run, or two things.
    """
    if bool(spec.command) == bool(spec.script):
        raise ValueError("a job has either a command or a script")
    files = [
        File("spec.json", spec.model_dump_json(indent=2).encode() + b"\n"),
        File("job.sbatch", job_sbatch(spec, run).encode()),
        File("node.sh", node_sh(spec, shebang=script.startswith(b"#!")).encode()),
        File("env.sh", env_sh(spec).encode()),
    ]
    if spec.script:
        files.append(File("script", script, 0o700))
    return Manifest(run, tuple(files), spec.logs or "")


def job_sbatch(spec: JobSpec, run: str) -> str:
    """Return the batch script: the options of sbatch, then what runs on the first node of the job."""
    options = [
        directive("job-name", PREFIX + run),
        directive("nodes", str(spec.nodes)),
        directive("ntasks-per-node", "1"),
        directive("gpus-per-node", str(spec.gpus)) if spec.gpus else "",
        directive("cpus-per-task", str(spec.cpus)) if spec.cpus else directive("exclusive"),
        directive("partition", spec.queue) if spec.queue else "",
        directive("time", spec.time_limit) if spec.time_limit else "",
        directive("wait-all-nodes", "1"),
        directive("no-requeue"),
        directive("open-mode", "append"),
        directive("output", "logs/batch.log"),
    ]
    return "\n".join(["#!/bin/bash", *filter(None, options), "".join(part.read_text() for part in _BODY)])


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


def node_sh(spec: JobSpec, *, shebang: bool = True) -> str:
    """Return what every node runs: it takes the job's environment and becomes the command."""
    lines = [
        "#!/bin/bash",
        "# Runs once on every node of the job.",
        "set -u",
        _BEGAN,
        '. "$PCINFRA_RUN_DIR/env.sh" || exit',
    ]
    if spec.workdir:
        lines.append(f"cd -- {shlex.quote(spec.workdir)} || exit")
    if spec.script:
        program = '"$PCINFRA_RUN_DIR/script"' if shebang else 'bash "$PCINFRA_RUN_DIR/script"'
        words = [program, *map(shlex.quote, spec.args)]
    else:
        words = ["--", *map(shlex.quote, spec.command)]
    return "\n".join([*lines, f"exec {' '.join(words)}", ""])


def env_sh(spec: JobSpec) -> str:
    """Return the job's environment as exports, for bash to read."""
    lines = (f"export {name}={shlex.quote(value)}" for name, value in spec.environment.items())
    return "\n".join(["# The environment of the job.", *lines, ""])
