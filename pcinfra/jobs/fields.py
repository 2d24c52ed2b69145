"""The kinds of names, texts and paths in a job file, each with the rule of what takes it."""

from __future__ import annotations

import json
import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from pcinfra.project.fields import Pattern, fault

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

_MOUNT = Pattern(
    r"/[A-Za-z0-9 ._/@%+=~-]*",
    "must be an absolute path of letters, digits, spaces and . _ - @ % + = ~",
    lambda value: f"/lustre/{value}",
)
"""Pyxis separates mounts with commas and colons, and writes them into a configuration that bash reads."""

_REPOSITORY = r"[a-z0-9]+([._/-]+[a-z0-9]+)*"
IMAGE = Pattern(
    r"/[A-Za-z0-9 ._/@%+=~-]+\.sqsh"
    r"|sha256:[0-9a-f]{64}"
    rf"|(docker://)?([A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?[/#])?{_REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
    "is no image: the name of one in pcinfra.yaml, registry/repository:tag, sha256:..., or the path of a .sqsh file",
)
"""Source: OCI distribution specification, "Pulling manifests"; Enroot, doc/cmd/import.md (``#`` after a registry)."""


SECRET = Pattern(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?"
    r"|arn:aws[a-z-]*:ssm:[a-z0-9-]+:\d{12}:parameter/[A-Za-z0-9_.-][A-Za-z0-9_./-]*"
    r"|secretsmanager:[A-Za-z0-9/_+=.@-]+(#[A-Za-z0-9_.-]+)?"
    r"|ssm:[A-Za-z0-9_./-]+"
    r"|k8s:[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?#[-._A-Za-z0-9]{1,253}",
    "must name a secret, never be one: an ARN, secretsmanager:NAME, secretsmanager:NAME#KEY, ssm:NAME or k8s:NAME#KEY",
    example="secretsmanager:hugging-face#token",
)
"""Source: Secrets Manager API reference, CreateSecret, Name; SSM API reference, PutParameter, Name;
Kubernetes API reference, SecretKeySelector."""


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


def _values(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise fault("has no values", hint='LEARNING_RATE: ["0.1", "0.01"]')
    return values


RUN = Pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", "is not the id of a run", example="hello-1m80k0n9v1brna4m")

Name = Annotated[str, AfterValidator(lambda value: NAME(value) if value else value)]
QueueName = Annotated[str, AfterValidator(_QUEUE)]
TimeLimit = Annotated[str, AfterValidator(_TIME)]
Text = Annotated[str, AfterValidator(_argument)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_words)]
Variable = Annotated[str, AfterValidator(_variable)]
Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""Lets Python say lists, too, where a tuple is kept."""
Values = Annotated[tuple[Text, ...], Listed, AfterValidator(_values)]
SecretName = Annotated[str, AfterValidator(SECRET)]
RunName = Annotated[str, AfterValidator(RUN)]
Directory = Annotated[str, AfterValidator(_argument), AfterValidator(_DIRECTORY)]
MountPath = Annotated[str, AfterValidator(_argument), AfterValidator(_MOUNT)]
ImageName = Annotated[str, AfterValidator(IMAGE)]


def seconds(limit: str) -> int:
    """Return the seconds of a time limit in any of sbatch's forms."""
    days, dash, clock = limit.rpartition("-")
    numbers = [int(part) for part in clock.split(":")]
    if dash:  # days-hours[:minutes[:seconds]]
        numbers += [0] * (3 - len(numbers))
    elif len(numbers) < 3:  # minutes[:seconds]
        numbers = [0, *numbers, *([0] if len(numbers) == 1 else [])]
    hours, minutes, rest = numbers
    return (int(days or 0) * 24 + hours) * 3600 + minutes * 60 + rest
