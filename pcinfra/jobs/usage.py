"""What a run has used so far. Pure: values in, values out.

An attempt counts from the moment at which it had its nodes to the moment at which it gave them back, with all nodes and
all GPUs of theirs that it had, whatever became of it.
"""

from __future__ import annotations

from pcinfra.jobs.launcher import Attempt, Status

HOUR = 3600.0


def elapsed(status: Status, now: float) -> float:
    """Return the seconds for which the run had its nodes, in all its attempts."""
    return sum(attempt.seconds(_until(status, attempt, now)) for attempt in status.attempts)


def gpu_hours(status: Status, now: float) -> float:
    """Return GPUs times hours, in all attempts."""
    return sum(hours(status, attempt, now) * attempt.gpus for attempt in status.attempts)


def hours(status: Status, attempt: Attempt, now: float) -> float:
    """Return nodes times hours of one attempt."""
    return attempt.seconds(_until(status, attempt, now)) * attempt.count / HOUR


def gpus(status: Status) -> int:
    """Return the GPUs that the last attempt had, on all its nodes."""
    last = status.attempts[-1] if status.attempts else None
    return last.gpus * last.count if last else 0


def _until(status: Status, attempt: Attempt, now: float) -> float:
    """Return what ``now`` is to an attempt: one whose end nobody knows does not go on after the run has ended."""
    goes_on = attempt is status.attempts[-1] and not status.state.ended
    return now if goes_on else attempt.ended or attempt.started
