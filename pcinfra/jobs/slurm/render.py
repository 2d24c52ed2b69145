"""A JobSpec as the files of a Slurm run directory. Pure: text in, text out.

Every value of the user's goes through :func:`shlex.quote` into a file that bash reads as a script; none goes into a
here-document, a ``bash -c`` or an argument of sbatch. Nothing in the files depends on where the run directory is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pcinfra import assets
from pcinfra.jobs.manifest import File, Manifest
from pcinfra.jobs.secrets import reference
from pcinfra.jobs.slurm.containers import digest, enroot_uri, mounts, pyxis_options
from pcinfra.jobs.slurm.starters import REGISTRY
from pcinfra.jobs.spec import JobSpec

PREFIX = "pci-"  # of the Slurm job name; the rest is the run id, so that a run is found by the name alone

_SCRIPTS = Path(__file__).parent / "scripts"
# The moment at which the command begins, with image and nodes at hand: what came before was starting.
_BEGAN = (
    '[ "${SLURM_PROCID:-0}${PCINFRA_TASK:-}" != 0 ] || '
    'printf "%(%s)T" -1 >"$PCINFRA_RUN_DIR/began.$PCINFRA_ATTEMPT" || :'
)
_ALLOWED = {
    "cpus-per-task", "exclusive", "gpus-per-node", "job-name", "mem", "no-requeue", "nodes", "ntasks-per-node",
    "open-mode", "output", "partition", "requeue", "signal", "time", "wait-all-nodes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class End:
    """When the nodes of a job begin to be terminated.

    Args:
        at: seconds since 1970, as far as was known when the job was submitted.
        reservation: the capacity reservation that says so; nodes go ``early`` seconds before it ends.
    """

    at: float
    reservation: str = ""
    early: int = 0


def render(
    spec: JobSpec, run: str, script: bytes = b"", code: bytes = b"", *,
    efa: bool = False, spot: bool = False, bandwidth: float | None = None,
    ends: End | None = None,
) -> Manifest:  # fmt: skip
    """Return the run directory of ``spec``.

    Args:
        run: the run's id.
        script: the content of the file that ``spec.script`` names.
        code: a compressed tar archive of what ``spec.code`` names.
        efa: its nodes speak to each other by EFA; NCCL then ends the job rather than go over TCP.
        spot: its nodes may be taken away, and say so before.
        bandwidth: GB/s between its nodes that ``health: nccl`` asks for where the job file does not say.
        ends: when its nodes begin to be terminated; None: nobody has set an end.

    Raises:
        ValueError: the job has nothing to run, or two things.
    """
    if bool(spec.command) == bool(spec.script):
        raise ValueError("a job has either a command or a script")
    files = [
        File("spec.json", spec.model_dump_json(indent=2, exclude={"kubernetes"}).encode() + b"\n"),
        File("job.sbatch", job_sbatch(spec, run, efa=efa, bandwidth=bandwidth, ends=ends).encode()),
        File("node.sh", node_sh(spec).encode()),
        File("command.sh", command_sh(spec, shebang=script.startswith(b"#!")).encode()),
        File("env.sh", env_sh(spec).encode()),
        File("submit.env", submit_env(spec).encode()),
    ]
    if spec.script:
        files.append(File("script", script, 0o700))
    if _imported(spec) or _tagged(spec):
        files.append(File("import.sh", import_sh(spec).encode()))
    if _gated(spec):
        files.append(File("health.sh", health_sh().encode()))
    if spec.health == "nccl":
        files.append(File("allreduce.py", (_SCRIPTS / "allreduce.py").read_bytes()))
    if spot:
        files.append(File("watch.sh", _script("watch").encode()))
    if spec.code:
        files.append(File("code.tar.gz", code))
    return Manifest(run, tuple(files), spec.logs or "")


def submit_env(spec: JobSpec) -> str:
    """Return what submit.sh must know, as bash."""
    array = spec.array.at_once if spec.array else None
    values = {
        "LOGS": spec.logs or "",
        "CONTAINERS": "needed" if _in_container(spec) == "required" else "",
        "TASKS": str(spec.tasks or ""),
        "AT_ONCE": str(array or ""),
        "DIGEST": _imported(spec),
        "IMAGE": _tagged(spec),
        "QUEUE": spec.queue or "",
        "AFTER": " ".join(f"{after.when}:{after.run}" for after in spec.after),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.sh").read_text()


def _gated(spec: JobSpec) -> bool:
    """Return whether the nodes are looked at before the command starts. Whole nodes may have GPUs or not."""
    return spec.health not in (None, "off") or (spec.health is None and bool(spec.gpus or not spec.cpus))


def health_sh() -> str:
    """Return what each node runs to say how it is: the prolog's checks of its GPUs are a part of it."""
    checks = (assets.folder("bootstrap") / "parts" / "gpu-health.sh").read_text()
    return f"checks={shlex.quote(checks)}\n{_script('health')}"


def _imported(spec: JobSpec) -> str:
    """Return the digest of an image that is imported once for all runs; empty where the address has none."""
    return digest(spec.image) if spec.image and _in_container(spec) != "off" else ""


def _tagged(spec: JobSpec) -> str:
    """Return the image, as Enroot takes it, where its address has no digest yet: what it means, submit.sh finds out."""
    outside = not spec.image or spec.image.startswith("/") or _in_container(spec) == "off"
    return "" if outside or _imported(spec) else enroot_uri(str(spec.image))


def import_sh(spec: JobSpec) -> str:
    """Return the batch script of the job that imports the image."""
    assert spec.image
    values = (f"uri={shlex.quote(enroot_uri(spec.image))}", f"digest={_imported(spec)}")
    if _tagged(spec):
        name = shlex.quote(re.sub(r":[\w.-]+$", "", enroot_uri(spec.image)))
        values = ("digest=$(<image.digest)", f'uri={name}@sha256:"$digest"')
    return "\n".join(["#!/bin/bash", *values, _script("import")])


def job_sbatch(
    spec: JobSpec, run: str, *, efa: bool = False, bandwidth: float | None = None, ends: End | None = None
) -> str:  # fmt: skip
    """Return the batch script: the options of sbatch, then what runs on the first node of the job."""
    tasks = REGISTRY[spec.launcher].tasks(spec)
    options = [
        directive("job-name", PREFIX + run),
        directive("nodes", str(spec.nodes)),
        directive("ntasks-per-node", str(tasks)),
        directive("gpus-per-node", str(spec.gpus)) if spec.gpus else "",
        directive("cpus-per-task", str(spec.cpus // tasks)) if spec.cpus else "",
        directive("exclusive") if spec.exclusive or not spec.cpus else "",
        directive("mem", f"{spec.memory}G") if spec.memory else "",
        directive("partition", spec.queue) if spec.queue else "",
        directive("time", spec.time_limit) if spec.time_limit else "",
        directive("wait-all-nodes", "1"),
        directive("requeue" if spec.requeue else "no-requeue"),
        directive("open-mode", "append"),
        directive("signal", f"B:USR1@{spec.grace}"),
        directive("output", "logs/batch.%A_%a.log" if spec.tasks else "logs/batch.log"),
    ]
    settings = [f"{name}={value}" for name, value in _settings(spec, efa)]
    settings.append(f"ends={'' if ends is None else f'{ends.at:.0f}'}")
    if ends and ends.reservation:
        settings.append(f"reservation={shlex.quote(ends.reservation)} early={ends.early}")
    if _gated(spec):
        least = bandwidth if spec.health_bandwidth is None else spec.health_bandwidth
        settings += [f"health={spec.health or ''}", f"least={'' if least is None else f'{least:g}'}"]
    secrets = [_secrets(spec)] if spec.secrets else []
    gate = [] if not _gated(spec) else ["gate", "gate-nccl"] if spec.health == "nccl" else ["gate"]
    parts = [*(["secrets"] if spec.secrets else []), *gate, "attempt", "batch"]
    return "\n".join(["#!/bin/bash", *filter(None, options), *settings, *secrets, *map(_script, parts)])


def _settings(spec: JobSpec, efa: bool) -> Iterator[tuple[str, str]]:
    """Yield what batch.sh expects to be set, as bash."""
    yield "tasks", str(spec.tasks or "")
    yield "requeue", str(spec.requeue)
    yield "grace", str(spec.grace)
    yield "checkpoints", shlex.quote(spec.checkpoints or "")
    yield "data", shlex.quote(spec.data or "")
    yield "container", _in_container(spec)
    yield "image", shlex.quote(enroot_uri(spec.image) if spec.image else "")
    yield "digest", _imported(spec)
    yield "fabric", "efa" if efa else ""
    yield "mounts", shlex.quote(mounts(spec))
    yield "options", f"({' '.join(pyxis_options(spec))})"
    yield "step", f"({' '.join(map(shlex.quote, REGISTRY[spec.launcher].srun))})"


def _secrets(spec: JobSpec) -> str:
    """Return the references as an array of bash: name, service, region, id and key of each."""
    found = ((name, reference(text)) for name, text in spec.secrets.items())
    words = [word for name, each in found for word in (name, each.service, each.region, each.name, each.key)]
    return f"secrets=({' '.join(map(shlex.quote, words))})"


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
    head = ["#!/bin/bash", "# Runs on every node of the job.", "set -u", _BEGAN]
    lines = [*head, '. "$PCINFRA_RUN_DIR/env.sh" || exit']
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
    return "\n".join(["# The environment of the job.", *lines, *_sweep(spec), ""])


def _sweep(spec: JobSpec) -> Iterator[str]:
    """Yield bash that exports the values of this task; the last variable changes fastest."""
    stride = spec.tasks or 1
    for name, values in spec.sweep.items():
        stride //= len(values)
        yield f"values=({' '.join(map(shlex.quote, values))})"
        yield f'export {name}="${{values[PCINFRA_TASK / {stride} % {len(values)}]}}"'
    if spec.sweep:
        yield "unset values"
