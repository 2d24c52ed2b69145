"""The logs of a run's pods by byte offset, although the API gives them by time only.

A log is that of one start of one container: ``pod``, then ``pod.1`` after its first restart. What was read last is
remembered with its time, so that a look reads what came since; a reader who knows an offset and nothing else gets the
whole log read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pcinfra.errors import CloudError, NotFound
from pcinfra.jobs.kubernetes.api import Api
from pcinfra.jobs.kubernetes.kinds import JobKind
from pcinfra.jobs.launcher import EVERYTHING, Chunk, Wanted

MOST = 1 << 20  # bytes of one log in one look


@dataclass(slots=True)
class Place:
    """Where reading stands: bytes so far, the time of the last line, and how many lines bear that time."""

    offset: int = 0
    time: str = ""
    lines: int = 0


@dataclass(slots=True)
class Logs:
    """Reads the logs of one namespace's pods."""

    api: Api
    places: dict[str, Place] = field(default_factory=dict)

    def chunks(
        self, kind: JobKind, pods: list[dict[str, Any]], offsets: Mapping[str, int], wanted: Wanted = EVERYTHING
    ) -> Iterator[tuple[Chunk, bool]]:
        """Yield what is new in each log beyond ``offsets``, and whether there is more."""
        for pod in pods:
            name = str(pod["metadata"]["name"])
            for number, previous in _starts(kind, pod):
                if wanted.attempt not in (None, number):
                    continue
                log = f".{number}" if number else ""
                text = f"{name}{log}"
                place = self._place(text, offsets.get(text, 0), _stamp(wanted))
                found = self._new(text, place, self._read(name, kind.container, previous, place.time), name)
                if found is not None:
                    yield found

    def _place(self, log: str, offset: int, since: str) -> Place:
        """Return where reading stands; whoever knows another offset gets the log from its beginning."""
        place = self.places.get(log)
        if place is None or place.offset != offset:
            place = self.places[log] = Place(time="" if offset else since)
        return place

    def _new(self, log: str, place: Place, text: bytes | None, pod: str) -> tuple[Chunk, bool] | None:
        if text is None:
            return None
        begin = place.offset
        data = bytearray()
        more = False
        for stamp, line in _after(text, place):
            data += line
            place.lines = place.lines + 1 if stamp == place.time else 1
            place.time = stamp
            if len(data) >= MOST:
                more = True
                break
        place.offset += len(data)
        return (Chunk(log, begin, bytes(data), pod), more) if data else None

    def _read(self, pod: str, container: str, previous: bool, since: str) -> bytes | None:
        query: dict[str, str | int] = {"container": container, "timestamps": "true"}
        if previous:
            query["previous"] = "true"
        if since:
            query["sinceTime"] = since
        try:
            return self.api.read(f"/api/v1/namespaces/{self.api.namespace}/pods/{pod}/log", query)
        except NotFound:
            return None
        except CloudError as error:
            if error.code in ("BadRequest", "400"):  # it has not started, or its last start is forgotten
                return None
            raise


def _starts(kind: JobKind, pod: Mapping[str, Any]) -> Iterator[tuple[int, bool]]:
    """Yield the starts of a pod's container whose logs are there: the one before the present one, and that."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    count = next((int(s.get("restartCount") or 0) for s in statuses if s.get("name") == kind.container), 0)
    if count:
        yield count - 1, True
    yield count, False


def _stamp(wanted: Wanted) -> str:
    if wanted.since is None:
        return ""
    return datetime.fromtimestamp(max(0.0, wanted.since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _after(text: bytes, place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield time and line of what was written after ``place``; the API's sinceTime knows whole seconds only."""
    same = place.lines
    for line in text.splitlines(keepends=True):
        head, _, rest = line.partition(b" ")
        stamp = head.decode("ascii", "replace")
        if _key(stamp) < _key(place.time):
            continue
        if stamp == place.time and same:
            same -= 1
            continue
        yield stamp, rest


def _key(stamp: str) -> tuple[str, str]:
    """Times sort as text once their fractions are of one length: kubelet writes them without zeros at the end."""
    second, _, fraction = stamp.rstrip("Z").partition(".")
    return second, fraction.ljust(9, "0")
