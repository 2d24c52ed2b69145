"""An API server of a few lists and logs, for what a real one without nodes cannot show."""

from __future__ import annotations

from typing import Any

from pcinfra.errors import CloudError, NotFound
from pcinfra.jobs.kubernetes.api import Query

Object = dict[str, Any]


class FakeApi:
    """Implements :class:`~pcinfra.jobs.kubernetes.api.Api`; ``objects`` by path, ``logs`` by pod and start."""

    def __init__(self) -> None:
        self.namespace = "team-a"
        self.where = "https://fake"
        self.context = self.on = ""
        self.objects: dict[str, Object] = {}
        self.logs: dict[tuple[str, bool], list[tuple[str, str]]] = {}
        self.calls: list[tuple[str, str]] = []

    def call(
        self, method: str, path: str, query: Query | None = None, body: Any = None, kind: str = "application/json"
    ) -> Object:
        self.calls.append((method, path))
        if path not in self.objects:
            raise NotFound("not found", where=path)
        return self.objects[path]

    def read(self, path: str, query: Query | None = None) -> bytes:
        """A log as kubelet gives it: whole seconds of sinceTime, and a refusal where nothing has started."""
        asked = query or {}
        pod = path.split("/")[-2]
        self.calls.append(("LOG", f"{pod} {asked.get('sinceTime', '')}".strip()))
        lines = self.logs.get((pod, "previous" in asked))
        if lines is None:
            raise CloudError("container is waiting to start", where=path, code="BadRequest")
        since = str(asked.get("sinceTime", ""))[:19]
        return "".join(f"{stamp} {line}\n" for stamp, line in lines if stamp[:19] >= since).encode()


def pod(name: str, phase: str = "Running", restarts: int = 0, **state: Any) -> Object:
    """Return a pod whose container ``node`` is in ``state``."""
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": f"host-{name}", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]},
        "status": {
            "phase": phase,
            "startTime": "2026-01-01T00:00:10Z",
            "containerStatuses": [{"name": "node", "restartCount": restarts, "state": state or {"running": {}}}],
        },
    }


def trainjob(name: str = "train-1", condition: Object | None = None, **fields: Any) -> Object:
    conditions = [{"status": "True", "lastTransitionTime": "2026-01-01T01:00:10Z", **condition}] if condition else []
    return {
        "metadata": {"name": name, "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {}},
        "spec": {"trainer": {"numNodes": 2}},
        "status": {"conditions": conditions},
        **fields,
    }
