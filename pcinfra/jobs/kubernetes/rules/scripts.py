"""Mistakes in commands that run and do the wrong thing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import PYTORCHJOB, TRAINJOB, Broken, Path, Rule, Surroundings, down, pods_of

_NO_SCHEME = re.compile(r"\bgit\s+clone\s+(?:-\S+\s+)*((?:github|gitlab|bitbucket)\.(?:com|org)\S*)")
_NNODES = re.compile(r"--n-?nodes[= ](\d+)(?![:\d])")
_RANKS = re.compile(r"\b(?:WORLD_SIZE|RANK)=\"?\$\{?PET_(?:NNODES|NODE_RANK)")


def _texts(value: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield every command of an object as one text: its words, with blanks between them."""
    if value["kind"] == TRAINJOB:
        trainer = down(value, "spec", "trainer") or {}
        yield ("spec", "trainer", "command"), " ".join(map(str, _words(trainer)))
    for pod in pods_of(value):
        for path, container in pod.containers():
            yield (*path, "command"), " ".join(map(str, _words(container)))


def _words(container: Mapping[str, Any]) -> list[Any]:
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def _clone(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(value):
        for match in _NO_SCHEME.finditer(text):
            why = f"git clone {match[1]}: git takes that for a folder of the container"
            yield path, why, f"https://{match[1]}" if "/" in match[1] else f"https://{match[1]}/OWNER/REPOSITORY"


def _nodes(value: Mapping[str, Any], around: Surroundings) -> Broken:
    count = _count(value)
    for path, text in _texts(value):
        for match in _NNODES.finditer(text):
            if count is not None and "torchrun" in text and int(match[1]) != count:
                why = f"--nnodes {match[1]} is not the number of pods, which is {count}"
                yield path, why, "without --nnodes torchrun reads PET_NNODES"


def _count(value: Mapping[str, Any]) -> int | None:
    if value["kind"] == TRAINJOB:
        count = down(value, "spec", "trainer", "numNodes")
        return count if isinstance(count, int) else None
    replicas = down(value, "spec", "pytorchReplicaSpecs") or {}
    counts = [replica.get("replicas") or 1 for replica in replicas.values()]
    return sum(count for count in counts if isinstance(count, int))


def _ranks(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(value):
        if _RANKS.search(text) and "torchrun" not in text:
            why = "takes the number of nodes for the number of processes: one GPU of each node would work"
            yield path, why, "torchrun train.py"
        elif "PET_LOCAL_RANK" in text:
            yield path, "reads PET_LOCAL_RANK, which nobody sets", "torchrun train.py sets LOCAL_RANK"


_JOBS = (TRAINJOB, PYTORCHJOB)
RULES = (
    Rule("clone", _JOBS, "git-clone(1), GIT URLS", "the script goes on without the code, unless it has set -e", _clone),
    Rule("nnodes", _JOBS, "torch, distributed/run.py", "pods too many end with 1 and come back; too few wait", _nodes),
    Rule("ranks", _JOBS, "torch, distributed/run.py", "all other GPUs idle, and the job is billed for them", _ranks),
)
