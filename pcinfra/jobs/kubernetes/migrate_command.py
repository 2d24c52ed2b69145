"""The command of a PyTorchJob as a TrainJob's: what the training operator told the processes, the Trainer does not.

The training operator sets RANK, WORLD_SIZE and MASTER_ADDR in each pod (v1.8.1, ``pkg/controller.v1/pytorch``), so that
``python train.py`` finds the others. The Trainer sets PET_* alone (``pkg/runtime/framework/plugins/torch``), which
torchrun reads: the same program without torchrun trains alone on each node, and ends with 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_TORCHRUN = re.compile(r"\btorchrun\b|\btorch\.distributed\.(?:run|launch)\b")
_NAMES = r"(?:n-?nodes|nproc[_-]per[_-]node|node[_-]rank|master[_-](?:addr|port)|rdzv[_-](?:id|backend|endpoint|conf))"
_FLAGS = re.compile(rf"--(?:{_NAMES}(?:=\S+|\s+[^\s-]\S*)|standalone\b)[ \t]*")
_FLAG = re.compile(rf"--{_NAMES}")
_PROCESSES = re.compile(r"--nproc[_-]per[_-]node[= ]\s*(\d+)")
_PYTHON = re.compile(r"(?:\S*/)?python[0-9.]*")
_FLAGS_OF_PYTHON = ("-u", "-B", "-O", "-s", "-E")
# In a script: python at the beginning of a command, and what it runs.
_IN_SCRIPT = re.compile(
    r"(?m)(?P<before>(?:^|[;&|(])[ \t]*(?:exec[ \t]+)?(?:\w+=\S*[ \t]+)*)(?:[^\s;&|(]*/)?python[0-9.]*[ \t]+"
    r"(?:-[uBOsE][ \t]+)*(?=\S+\.py\b|-m[ \t]+(?!pip\b|venv\b))"
)
_OTHERS = ("accelerate", "deepspeed", "mpirun", "horovodrun", "colossalai")
_RANKS = re.compile(r"\$\{?(RANK|WORLD_SIZE|MASTER_ADDR|MASTER_PORT)\b")
_SHELLS = ("sh", "bash", "ash", "dash")


@dataclass(slots=True)
class Command:
    """A container's words, made those of a TrainJob.

    Args:
        processes: on each node, as far as the words say it.
        notes: what was changed.
        warnings: what a reader must change before the job does what it did.
    """

    command: list[str]
    args: list[str]
    processes: int | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def converted(command: Sequence[object], args: Sequence[object], nodes: int) -> Command:
    """Return the words of a PyTorchJob's container for a TrainJob of so many nodes."""
    made = Command([str(word) for word in command], [str(word) for word in args])
    words = [*made.command, *made.args]
    text = " ".join(words)
    if _TORCHRUN.search(text):
        found = _PROCESSES.search(text)
        made.processes = int(found[1]) if found else None
        _set(made, list(_without_flags(words)))
        if [*made.command, *made.args] != words:
            made.notes.append("flags of torchrun are dropped: it reads nodes, processes and address from PET_*")
    else:
        _started(made, words, nodes)
    read = sorted(set(_RANKS.findall(" ".join([*made.command, *made.args]))))
    if read:
        names = ", ".join(read)
        made.warnings.append(
            f"its script reads {names}, which a TrainJob's pod does not have; PET_* and torchrun's own do"
        )
    return made


def _started(made: Command, words: list[str], nodes: int) -> None:
    """Let torchrun start what starts without it: one process in each pod, as before."""
    made.processes = 1
    script = _script(words)
    if script is None:
        changed = _by_torchrun(words)
        if changed is not None:
            _set(made, changed)
    elif len(_IN_SCRIPT.findall(words[script])) == 1:
        changed = [*words]
        changed[script] = _IN_SCRIPT.sub(lambda match: f"{match['before']}torchrun ", words[script])
        _set(made, changed)
    if [*made.command, *made.args] != words:
        made.notes.append(
            "python is torchrun now, with one process in each pod as before: the Trainer sets no RANK and no "
            "WORLD_SIZE. numProcPerNode says how many processes there are"
        )
    elif nodes > 1:
        made.warnings.append(_alone(words, script))


def _alone(words: list[str], script: int | None) -> str:
    """Return why each node would train alone."""
    other = next((name for name in _OTHERS if re.search(rf"\b{name}\b", " ".join(words))), "")
    what = (
        f"{other} is told of the other nodes by nobody" if other
        else "it has no command, and what its image starts is not known here" if not words
        else "its script starts several Python programs, and which is the training is not known here"
        if script is not None and _IN_SCRIPT.search(words[script])
        else f"what {words[0]} starts is not known here"
    )  # fmt: skip
    hint = f"launcher: {other} in a job file" if other in _OTHERS[:2] else "torchrun before the training's program"
    return (
        f"as it stands EACH NODE WOULD TRAIN ALONE, and end with 0: {what}, and a TrainJob's pod has neither RANK nor "
        f"WORLD_SIZE nor MASTER_ADDR. Write {hint}"
    )


def _script(words: list[str]) -> int | None:
    """Return the place of the text that a shell runs; None when it runs none."""
    shell = words[0].rpartition("/")[2] if words else ""
    if shell not in _SHELLS:
        return None
    return next((i + 1 for i, word in enumerate(words[:-1]) if re.fullmatch(r"-[a-z]*c", word)), None)


def _by_torchrun(words: list[str]) -> list[str] | None:
    """Return ``python train.py`` as ``torchrun train.py``; None when it is neither that nor ``python -m``."""
    if not words or not _PYTHON.fullmatch(words[0]):
        return None
    rest = words[1:]
    while rest and rest[0] in _FLAGS_OF_PYTHON:
        rest = rest[1:]
    return ["torchrun", *rest] if rest and (rest[0] == "-m" or rest[0].endswith(".py")) else None


def _without_flags(words: list[str]) -> Iterator[str]:
    """Yield the words without flags of torchrun that the Trainer sets by PET_*."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif _FLAG.fullmatch(word):
            skip = True
        elif _TORCHRUN.search(word) and " " in word.strip():
            yield _FLAGS.sub("", word)
        elif not _FLAGS.fullmatch(word):
            yield word


def _set(made: Command, words: list[str]) -> None:
    """Take ``words`` as command and args, where both are there and the command is as it was; else as what is there."""
    if made.command and made.args and words[: len(made.command)] == made.command:
        made.args = words[len(made.command) :]
    elif made.command:
        made.command, made.args = words, []
    else:
        made.args = words
