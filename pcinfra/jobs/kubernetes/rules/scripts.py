"""Mistakes in commands that run and do the wrong thing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import PYTORCHJOB, TRAINJOB, Broken, Path, Rule, Surroundings, down

_NO_SCHEME = re.compile(r"\bgit\s+clone\s+(?:-\S+\s+)*((?:github|gitlab|bitbucket)\.(?:com|org)\S*)")
_NNODES = re.compile(r"--n-?nodes[= ](\d+)(?![:\d])")
_CLONE_GOES_ON = re.compile(r"(?m)^\s*git\s+clone\s[^\n;&|]*(?:[\n;]\s*)(?=\S)")
_STOPS = re.compile(r"\bset\s+-[a-zA-Z]*e|\bset\s+-o\s+errexit")
_EATEN = re.compile(
    r"--(nnodes|nproc[-_]per[-_]node|node[-_]rank|master[-_](?:addr|port)|rdzv[-_]endpoint)=(?=[\s\"']|$)"
)
_RESTARTS = re.compile(r"--max[-_]restarts[= ](-\d+)")
_FIXED = re.compile(r"--(?:rdzv[-_]endpoint|master[-_]addr)[= ]((?:\d{1,3}\.){3}\d{1,3}(?::\d+)?)")
_ADDRESS = re.compile(r"https?://\S+")
_SHELLS = ("sh", "bash")
_RANKS = re.compile(r"\b(?:WORLD_SIZE|RANK)=\"?\$\{?PET_(?:NNODES|NODE_RANK)")


def _texts(around: Surroundings, word: str) -> Iterator[tuple[Path, str]]:
    """Yield every command of an object that has ``word`` in it as one text: its words, with blanks between them."""
    for path, words in around.commands:
        text = " ".join(map(str, words))
        if word in text:
            yield path, text


def _clone(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(around, "git"):
        for match in _NO_SCHEME.finditer(text):
            why = f"git clone {match[1]}: git takes that for a folder of the container"
            yield path, why, f"https://{match[1]}" if "/" in match[1] else f"https://{match[1]}/OWNER/REPOSITORY"


def _nodes(value: Mapping[str, Any], around: Surroundings) -> Broken:
    count = _count(value)
    for path, text in _texts(around, "torchrun"):
        for match in _NNODES.finditer(text):
            if count is not None and int(match[1]) != count:
                why = f"--nnodes {match[1]} is not the number of pods, which is {count}"
                yield path, why, "without --nnodes torchrun reads PET_NNODES"


def _goes_on(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(around, "git"):
        script = text.partition(" -c ")[2] or text
        if _CLONE_GOES_ON.search(script) and not _STOPS.search(script):
            yield path, "has no `set -e` before git clone", "set -euo pipefail   as its first line"


def _eaten(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(around, "torchrun"):
        match = _EATEN.search(text)
        if match:
            why = f"{match[0]} has no value: envsubst replaces the pod's own variables, too, by nothing"
            yield path, why, "pcinfra k8s substitute NAME   replaces NAME alone"


def _destroyed(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, words in around.commands:
        shell = str(words[0]).rpartition("/")[2] if words else ""
        script = str(words[2]).strip() if len(words) > 2 and words[1] == "-c" else ""
        if shell in _SHELLS and _ADDRESS.fullmatch(script):
            why = f"the script is {script}: a replacement of args.0 took the place of all of it"
            yield path, why, "replace a variable in env, which the script reads: pcinfra render --to kustomize"


def _count(value: Mapping[str, Any]) -> int | None:
    if value["kind"] == TRAINJOB:
        count = down(value, "spec", "trainer", "numNodes")
        return count if isinstance(count, int) else None
    replicas = down(value, "spec", "pytorchReplicaSpecs") or {}
    counts = [replica.get("replicas") or 1 for replica in replicas.values()]
    return sum(count for count in counts if isinstance(count, int))


def _ranks(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(around, "PET_"):
        if _RANKS.search(text) and "torchrun" not in text:
            why = "takes the number of nodes for the number of processes: one GPU of each node would work"
            yield path, why, "torchrun train.py"
        elif "PET_LOCAL_RANK" in text:
            yield path, "reads PET_LOCAL_RANK, which nobody sets", "torchrun train.py sets LOCAL_RANK"


def _restarts(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(around, "torchrun"):
        match = _RESTARTS.search(text)
        if match:
            yield path, f"--max-restarts {match[1]} is not without end: torchrun refuses what is less than 0", "100"


def _fixed(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, text in _texts(around, "--"):
        match = _FIXED.search(text)
        if match:
            why = f"{match[1]} is the address of one machine, and every pod gets a new one each time it starts"
            yield path, why, "without the flag torchrun reads what the operator sets"


_JOBS = (TRAINJOB, PYTORCHJOB)
RULES = (
    Rule("clone", _JOBS, "git-clone(1), GIT URLS", "the script goes on without the code, unless it has set -e", _clone),
    Rule("stops", _JOBS, "bash(1), set -e", "when git fails it runs what is in the image, or nothing", _goes_on),
    Rule("eaten", _JOBS, "envsubst(1)", "every pod ends at once with a wrong usage of torchrun", _eaten),
    Rule(
        "destroyed", _JOBS, "kustomize, replacements", "bash: no such file: exit code 127, again and again", _destroyed
    ),
    Rule("nnodes", _JOBS, "torch, distributed/run.py", "pods too many end with 1 and come back; too few wait", _nodes),
    Rule(
        "restarts",
        _JOBS,
        "torch, distributed/elastic/agent/server/api.py: max_restarts >= 0",
        "every pod ends at once",
        _restarts,
    ),
    Rule("fixed", _JOBS, "torch, distributed/run.py", "torchrun waits there for nodes that never come", _fixed),
    Rule("ranks", _JOBS, "torch, distributed/run.py", "all other GPUs idle, and the job is billed for them", _ranks),
)
