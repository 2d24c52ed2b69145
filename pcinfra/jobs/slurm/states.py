"""Slurm's answers about a job, and the run's own record of its end, as a Status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pcinfra.jobs.launcher import State, Status
from pcinfra.jobs.slurm.reasons import PASSING, reason_in_words

# Job states of squeue(1), "JOB STATE CODES".
_STATES = {
    "PENDING": State.WAITING,
    "REQUEUED": State.WAITING,
    "REQUEUE_HOLD": State.WAITING,
    "REQUEUE_FED": State.WAITING,
    "SPECIAL_EXIT": State.WAITING,
    "RESV_DEL_HOLD": State.WAITING,
    "CONFIGURING": State.STARTING,
    "RUNNING": State.RUNNING,
    "SUSPENDED": State.RUNNING,
    "STOPPED": State.RUNNING,
    "RESIZING": State.RUNNING,
    "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.ENDING,
    "COMPLETING": State.ENDING,
    "EXPEDITING": State.ENDING,  # since 25.11: Slurm decides whether to requeue it at once
    "COMPLETED": State.DONE,
    "FAILED": State.FAILED,
    "CANCELLED": State.CANCELLED,
    "TIMEOUT": State.TIMEOUT,
    "DEADLINE": State.TIMEOUT,
    "NODE_FAIL": State.LOST,
    "BOOT_FAIL": State.LOST,
    "OUT_OF_MEMORY": State.FAILED,
    "PREEMPTED": State.LOST,
    "REVOKED": State.LOST,
}
_ENDINGS = {
    "NODE_FAIL": "a node failed",
    "BOOT_FAIL": "its nodes did not boot",
    "OUT_OF_MEMORY": "out of memory",
    "PREEMPTED": "another job took its nodes",
    "TIMEOUT": "the time limit was reached",
    "DEADLINE": "its deadline passed",
    "SUSPENDED": "suspended",
}


def status(run: str, job: str, fields: Mapping[str, str]) -> Status:
    """Return the Status that an answer describes.

    Args:
        fields: ``asked`` (exit status of squeue), ``slurm`` and ``kept`` (``STATE|REASON|NODES`` as squeue prints
            them now and when the job ended), ``result`` (a line of result.jsonl), ``cancelled``; as far as there are.
    """
    state, why, nodes = _slurm(fields.get("slurm", ""))
    result = _result(fields.get("result", ""))
    if state is None and fields.get("asked") != "0" and not (result and _conclusive(result)):
        return Status(run, State.UNKNOWN, job, "slurmctld does not answer")
    if state is not None and not state.ended:
        return Status(run, state, job, why, nodes)
    if state is None:
        state, why, nodes = _slurm(fields.get("kept", ""))
    if "cancelled" not in fields and state in (None, State.CANCELLED):
        why = "by Slurm, or with scancel" if state or result else "it left no result, and Slurm has forgotten it"
    if result:
        if state is State.CANCELLED and "cancelled" not in fields and _by_itself(result):
            state = None  # a controller that was away when a job ended takes it for cancelled
        return _with_result(run, job, result, state, why, nodes)
    if state is None:
        state = State.CANCELLED if "cancelled" in fields else State.LOST
    return Status(run, state, job, why, nodes, _CODES.get(state, 137))


_CODES = {State.DONE: 0, State.FAILED: 1, State.CANCELLED: 143}  # of jobs that could not write their own


def _conclusive(result: Mapping[str, Any]) -> bool:
    """Return whether a job ended by itself; if not, only Slurm knows whether there is a next attempt."""
    return result["verdict"] in ("done", "failed", "timeout") and not result.get("requeued")


def _by_itself(result: Mapping[str, Any]) -> bool:
    """Return whether a job ended without a signal, which every cancellation is."""
    return _conclusive(result) and result["exit_code"] <= 128


_OUTSIDE = (State.CANCELLED, State.TIMEOUT, State.LOST)


def _with_result(run: str, job: str, result: Mapping[str, Any], state: State | None, why: str, nodes: str) -> Status:
    """Return the Status of a job that wrote its result; what ended it from outside, Slurm knows better."""
    if state is None and result.get("requeued"):
        end, why = State.LOST, "it was to be requeued, and Slurm has forgotten it"
    elif not _conclusive(result) or (state in _OUTSIDE and result["exit_code"] != 0):
        end = state or State.CANCELLED
    else:
        end = State(result["verdict"])
        why = _ENDINGS["TIMEOUT"] if end is State.TIMEOUT else str(result.get("why", ""))
    return Status(run, end, job, why, nodes or str(result.get("nodes", "")), result["exit_code"])


_FIRST = (State.RUNNING, State.STARTING, State.ENDING, State.WAITING, State.UNKNOWN)


def together(lines: Sequence[str]) -> str:
    """Return one line ``STATE|REASON|NODES`` for the many tasks of an array: it runs while one of them runs, waits
    while none runs and one waits, and has failed when all have ended and one has failed."""

    def rank(line: str) -> int:
        state, _, _ = _slurm(line)
        if state in _FIRST:
            return _FIRST.index(state)
        return len(_FIRST) + (state is State.DONE)

    best = min(lines, key=rank)
    nodes = dict.fromkeys(line.rpartition("|")[2] for line in lines if rank(line) == rank(best))
    return f"{best.rpartition('|')[0]}|{','.join(filter(None, nodes))}"


def _slurm(line: str) -> tuple[State | None, str, str]:
    """Return state, reason in plain words and nodes of ``STATE|REASON|NODES``; None for an empty line."""
    word, _, rest = line.strip().partition("|")
    reason, _, nodes = rest.rpartition("|")
    if not word:
        return None, "", ""
    state = _STATES.get(word.split()[0], State.UNKNOWN)
    why = "" if state.ended and reason.strip("()") in PASSING else reason_in_words(reason)
    return state, _ENDINGS.get(word, "") or why, nodes


def _result(line: str) -> dict[str, Any] | None:
    """Return a line of result.jsonl; None when there is none or it is not whole."""
    try:
        result = json.loads(line)
        return {**result, "exit_code": int(result["exit_code"]), "verdict": str(result["verdict"])}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
