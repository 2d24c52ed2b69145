"""What a run's own files say of it, as record.sh prints them, together with what Slurm says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from pcinfra.jobs.launcher import Attempt, Checkpoint, State, Status, Tasks
from pcinfra.jobs.slurm.render import PREFIX
from pcinfra.jobs.slurm.states import status, together

UNHEALTHY = "unhealthy"
"""The verdict of an attempt that ended before the command began, because a node was not fit for it."""

_SKEW = 30.0
"""Seconds that the clocks of a node and of the head node may differ."""

_FULL = "the file system of the runs is full: what it says now is lost"
_UNWRITTEN = "it could not write its result: was the disk full? Its log may not be whole"

_FAR = 1e11  # seconds since 1970, or any number, that nobody means
_ONCE = ("job", "kept", "cancelled", "wants", "tasks")


@dataclass(slots=True)
class Record:
    """What is known of one run.

    Args:
        fields: what :func:`pcinfra.jobs.slurm.states.status` takes.
        began: attempt -> when its command began; ``signs``: when it gave its last sign of life.
        spells: when Slurm's accounting says that attempts had their nodes, and gave them back. All seconds since 1970.
    """

    run: str
    fields: dict[str, str] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    began: dict[int, float] = field(default_factory=dict)
    signs: dict[int, float] = field(default_factory=dict)
    spells: list[tuple[float, float]] = field(default_factory=list)
    submitted: float = 0.0

    def status(self) -> Status:
        attempts = tuple(self._attempts())
        last = attempts[-1].number if attempts else 0
        results = [each for each in self.results if _number(_object(each), "attempt") >= last]
        known = {**self.fields, **({"result": results[-1]} if results else {})}
        found = status(self.run, self.fields.get("job", ""), known)
        if found.state.ended and attempts and attempts[-1].ended is None:
            over = self._accounted(attempts[-1].started) or self._lived(last)
            attempts = (*attempts[:-1], replace(attempts[-1], ended=over))
        if attempts and self.fields.get("slurm", "").startswith("PENDING|BeginTime"):
            taken = attempts[-1].verdict == "stopped" and attempts[-1].why
            why = "it waits until that is over" if taken else "Slurm lets a requeued job wait for up to two minutes"
            found = replace(found, why=why)
        if attempts and found.state is State.WAITING and attempts[-1].verdict == UNHEALTHY:
            found = replace(found, why=f"unhealthy: {attempts[-1].why}; {found.why}".rstrip("; "))
        if found.state is State.RUNNING and self.fields.get("rebalance", "").partition(" ")[0] == str(last):
            node = self.fields["rebalance"].partition(" ")[2]
            found = replace(found, why=f"EC2 may soon take {node} away, and says so before")
        if attempts and found.state is State.WAITING and attempts[-1].verdict == "stopped" and attempts[-1].why:
            found = replace(found, why=f"{attempts[-1].why}; {found.why}".rstrip("; "))
        if self.fields.get("room") == "0" and not found.state.ended:
            found = replace(found, why=f"{found.why}; {_FULL}".removeprefix("; "))
        if found.state is State.DONE and not self.results and "tasks" not in self.fields:
            found = replace(found, why=_UNWRITTEN)
        wants = self.fields.get("wants", "")
        found = replace(found, tasks=_tasks(self.fields["tasks"]) if "tasks" in self.fields else None)
        return replace(found, wants=int(wants) if wants.isdigit() else 1, submitted=self.submitted, attempts=attempts)

    def _attempts(self) -> Iterator[Attempt]:
        """Yield the attempts; one that left no result lived until its last sign of life, or the next one began."""
        begun = {_number(each, "attempt"): each for each in self.attempts if "started" in each}
        over = {_number(each, "attempt"): _moment(each.get("ended")) for each in self.attempts if "ended" in each}
        results = {_number(each, "attempt"): each for each in map(_object, self.results) if each}
        numbers = sorted({*begun, *results})
        for place, number in enumerate(numbers):
            following = numbers[place + 1] if place + 1 < len(numbers) else None
            start, result = begun.get(number, {}), results.get(number, {})
            ended = over.get(number) or _moment(result.get("ended"))
            if ended is None and following is not None:
                next_start = float(_number(begun.get(following, {}), "started")) or None
                ended = self._accounted(float(_number(start, "started")))
                ended = ended or min(filter(None, (self._lived(number), next_start)), default=None)
            yield Attempt(
                number,
                nodes=str(start.get("nodes") or result.get("nodes") or ""),
                count=_number(start, "count") or 1,
                gpus=_number(start, "gpus"),
                started=float(_number(start, "started")) or _moment(result.get("started")) or ended or 0.0,
                began=self.began.get(number),
                ended=ended,
                verdict=str(result.get("verdict", "")),
                exit_code=_number(result, "exit_code") if "exit_code" in result else None,
                why=str(result.get("why", "")),
            )

    def _accounted(self, started: float) -> float | None:
        """Return when the attempt that noted its beginning as ``started`` gave its nodes back, by the accounting."""
        _, over = max((each for each in self.spells if each[0] <= started + _SKEW), default=(0.0, 0.0))
        return over if over >= started else None

    def _lived(self, number: int) -> float | None:
        return self.signs.get(number)


@dataclass(slots=True)
class Answer:
    """The lines of an answer: the runs that it tells of, in their order, and every other line by its first word."""

    records: dict[str, Record] = field(default_factory=dict)
    other: dict[str, list[str]] = field(default_factory=dict)

    def statuses(self) -> list[Status]:
        return [record.status() for record in self.records.values()]


def read(lines: Iterable[str]) -> Answer:
    """Return what the scripts printed: lines ``WORD REST``."""
    answer = Answer()
    record = Record("")
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "run":
            record = answer.records.setdefault(rest, Record(rest))
        elif word in _ONCE:
            record.fields.setdefault(word, rest)  # an array in parts has several job ids
        elif word == "attempt":
            record.attempts.append(_object(rest))
        elif word == "result":
            record.results.append(rest)
        elif word == "rebalance":
            record.fields[word] = rest  # the last one
        elif word == "spell":
            record.spells.append(_spell(rest))
        elif word == "began":
            _began(record, rest)
        else:
            answer.other.setdefault(word, []).append(rest)
    _spread(answer)
    return answer


def checkpoints(answer: Answer) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that an answer tells of, in the order of their times."""
    found = map(_object, answer.other.get("checkpoint", ()))
    made = (Checkpoint(_number(each, "attempt"), _moment(each.get("time")) or 0.0, each.get("step")) for each in found)
    whole = [each if isinstance(each.step, int) else replace(each, step=None) for each in made if each.time > 0]
    return tuple(sorted(whole, key=lambda each: each.time))


def _tasks(text: str) -> Tasks | None:
    """Return what ``tasks_of`` printed."""
    words = text.split()
    if len(words) != len(fields(Tasks)) or not all(word.isdigit() for word in words):
        return None
    begun, spent, gpu_spent, nodes, gpus, starts, gpu_starts = map(int, words)
    return Tasks(begun, spent, gpu_spent, nodes, gpus, starts, gpu_starts)


def _spread(answer: Answer) -> None:
    """Give each run what Slurm says of it, and the times of its files."""
    asked = (answer.other.get("asked") or ["1"])[0]
    room = (answer.other.get("room") or [""])[0]
    for record in answer.records.values():
        record.fields |= {"asked": asked, "room": room}
    said: dict[str, list[str]] = {}
    for line in answer.other.get("slurm", ()):
        name, _, rest = line.partition("|")
        said.setdefault(name.removeprefix(PREFIX), []).append(rest)
    for run, lines in said.items():
        if run in answer.records:
            answer.records[run].fields["slurm"] = lines[0] if len(lines) == 1 else together(lines)
    for line in answer.other.get("time", ()):
        path, _, seconds = line.rpartition(" ")
        run, _, name = path.partition("/")
        found = answer.records.get(run)
        if found and seconds.isdigit():
            _time(found, name, float(seconds))


def _time(record: Record, name: str, seconds: float) -> None:
    sign = re.fullmatch(r"signs\.(\d{1,9})|logs/node-0\.(\d{1,9})\.log", name)
    if name == "job.id":
        record.submitted = seconds
    elif sign:
        number = int(sign[1] or sign[2])
        record.signs[number] = max(seconds, record.signs.get(number, 0.0))


def _began(record: Record, text: str) -> None:
    number, _, seconds = text.partition(" ")
    if number.isdigit() and seconds.isdigit():
        record.began[int(number)] = float(seconds)


def _spell(text: str) -> tuple[float, float]:
    start, _, end = text.partition(" ")
    return (float(start), float(end)) if start.isdigit() and end.isdigit() else (0.0, 0.0)


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object; an empty one when the line is not whole."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    return int(value) if isinstance(value, int | float) and 0 <= value < _FAR else 0


def _moment(value: object) -> float | None:
    """Return a time as seconds since 1970: a number, or a text like ``2026-01-31T12:00:00Z``."""
    if isinstance(value, int | float):
        return float(value) if 0 <= value < _FAR else None
    try:
        return datetime.fromisoformat(str(value)).timestamp() if value else None
    except ValueError:
        return None
