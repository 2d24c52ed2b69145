"""The shape of a job file: what to run, on how many nodes, with what.

Words are Slurm's where Slurm has one. ``gpus`` and ``cpus`` are per node.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pcinfra.project.fields import Pattern, fault
from pcinfra.project.positions import Finding
from pcinfra.project.section import Section

# Linux refuses a longer single argument or variable (MAX_ARG_STRLEN, 32 pages, with the NUL; execve(2)).
MAX_TEXT = 131_071

# Variables that bash sets, computes or interprets itself (bash(1), Shell Variables): what is given would not arrive.
_BASH = {
    "_", "BASH", "BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0", "BASH_CMDS",
    "BASH_COMMAND", "BASH_COMPAT", "BASH_EXECUTION_STRING", "BASH_LINENO", "BASH_LOADABLES_PATH",
    "BASH_MONOSECONDS", "BASH_REMATCH", "BASH_SOURCE", "BASH_SUBSHELL", "BASH_TRAPSIG", "BASH_VERSINFO",
    "BASH_VERSION", "BASH_XTRACEFD", "COMP_WORDBREAKS", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID",
    "FUNCNAME", "FUNCNEST", "GROUPS", "HISTCMD", "LINENO", "OLDPWD", "OPTIND", "PIPESTATUS", "POSIXLY_CORRECT",
    "PPID", "PWD", "RANDOM", "SECONDS", "SHELLOPTS", "SHLVL", "SRANDOM", "UID",
}  # fmt: skip


def _dashes(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._")[:60]


NAME = Pattern(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}",
    "must be at most 60 letters, digits, '.', '_' and '-', and begin with a letter or digit",
    _dashes,
)
"""Ours: it is part of a directory's name and of the Slurm job's."""

_QUEUE = Pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", "is not the name of one queue: letters, digits, '.', '_', '-'")

_TIME = Pattern(
    r"\d{1,7}|\d{1,5}:[0-5]\d(:[0-5]\d)?|\d{1,4}-\d{1,2}(:[0-5]\d(:[0-5]\d)?)?",
    'is not a time limit of Slurm: "2:30:00" is hours, "3-12" days and hours, "90" minutes',
)
"""Source: sbatch(1), --time."""

_DIRECTORY = Pattern(r"/[^\0]*", "must be an absolute path, as the nodes see it", lambda value: f"/lustre/{value}")


def _argument(value: str) -> str:
    if "\0" in value:
        raise fault("has a NUL, which no program can be given", hint="remove it")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_TEXT:
        raise fault(f"is longer than {MAX_TEXT} bytes, the most that Linux hands to a program", hint="put it in a file")
    return value


def _words(value: object) -> object:
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value]
        raise fault("must be a list of words, not one text", hint=f"command: {json.dumps(words, ensure_ascii=False)}")
    return tuple(value) if isinstance(value, list) else value


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise fault("is not a variable's name", hint="letters, digits and '_', and no digit first")
    if name in _BASH:
        raise fault("belongs to bash, which would change it", hint="choose another name")
    if name.startswith(("SLURM_", "SRUN_", "PCINFRA_")):
        raise fault("would hide what the job is told by Slurm or pcinfra", hint="choose another name")
    return name


Name = Annotated[str, AfterValidator(lambda value: NAME(value) if value else value)]
QueueName = Annotated[str, AfterValidator(_QUEUE)]
TimeLimit = Annotated[str, AfterValidator(_TIME)]
Text = Annotated[str, AfterValidator(_argument)]
Variable = Annotated[str, AfterValidator(_variable)]
Directory = Annotated[str, AfterValidator(_argument), AfterValidator(_DIRECTORY)]


class JobSpec(Section):
    """One job.

    Args:
        name: part of the run's id; empty means the job file's name.
        launcher: how the command is started: ``srun`` starts it once on every node.
        command: program and arguments, exactly as they reach the program.
        script: instead of ``command``: a script beside the job file, run by its first line (``#!``), else by bash.
        args: arguments of ``script``.
        gpus: per node; left out: all of them when ``cpus`` is left out too, else none.
        cpus: per node; left out: whole nodes that no other job shares.
        queue: left out: the cluster's default queue.
        time_limit: Slurm's ``hours:minutes:seconds`` or ``days-hours``; left out: the queue's limit.
        workdir: where the command starts; left out: the run directory.
        logs: directory for the logs, each run in a directory of its own; left out: inside the run directory.
    """

    name: Name = ""
    launcher: Literal["srun"] = "srun"
    command: Annotated[tuple[Text, ...], BeforeValidator(_words)] = Field(
        default=(), examples=[["python3", "train.py"]]
    )
    script: Text = Field(default="", examples=["train.sh"])
    args: tuple[Text, ...] = ()
    nodes: int = Field(default=1, ge=1, le=10_000)
    gpus: int | None = Field(default=None, ge=1, le=64, examples=[8])
    cpus: int | None = Field(default=None, ge=1, le=4096, examples=[8])
    queue: QueueName | None = Field(default=None, examples=["gpu"])
    time_limit: TimeLimit | None = Field(default=None, examples=["2:00:00"])
    environment: dict[Variable, Text] = Field(default={})
    workdir: Directory | None = Field(default=None, examples=["/lustre/data"])
    logs: Directory | None = Field(default=None, examples=["/lustre/logs"])


def contradictions(spec: JobSpec) -> Iterator[Finding]:
    """Yield what is wrong between the fields of ``spec``."""
    if spec.command and spec.script:
        yield Finding(("script",), "cannot be given together with command", "keep one of them", (("command",),))
    if not spec.command and not spec.script:
        why = "is missing: the job has nothing to run"
        yield Finding(("command",), why, "command: [python3, train.py]", (("script",),))
    if spec.command and not spec.command[0]:
        yield Finding(("command", 0), "is empty; the first word is the program")
    if spec.args and not spec.script:
        yield Finding(("args",), "is for script; a command's arguments are in its list", also=(("script",),))
