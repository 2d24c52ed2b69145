"""Our check against a real server's, on changed manifests: the same verdict, and the same object stored."""

from __future__ import annotations

import os
from typing import Any

from pcinfra.errors import CloudError
from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.render import pytorchjob, trainjob
from pcinfra.jobs.kubernetes.schema.admission import admit
from pcinfra.jobs.kubernetes.schema.structural import Node
from tests.unit.jobs.kubernetes.jobs import ELASTIC, FULL, job
from tests.unit.jobs.kubernetes.mutations import mutated

COUNT = int(os.environ.get("PCINFRA_MUTATIONS", "250"))  # of each kind; 1000 takes a minute
FIRST = int(os.environ.get("PCINFRA_SEED", "0")) * 1_000_000  # the seed of the first of them


def compare(api: LiveApi, kind: str, count: int = COUNT) -> None:
    """Send so many changed jobs of a kind, without having them made, and compare with what we say of each."""
    schemas = KubernetesLauncher(api).reading.schemas
    assert schemas.dialect is not None
    seeds = [trainjob.render(job(FULL), schemas.dialect).job] if kind == "TrainJob" else []
    seeds = seeds or [pytorchjob.render(job(ELASTIC)).job, pytorchjob.render(job(FULL)).job]
    root = without_rules(schemas.resources[kind].root)
    path = KINDS[kind].path(api.namespace)
    refused = 0
    for number in range(FIRST, FIRST + count):
        value = mutated(seeds[number % len(seeds)], number)
        value["metadata"] = {"name": f"m-{number}", "namespace": api.namespace}
        ours = admit(root, value, replicas=schemas.resources[kind].replicas)
        theirs = stored(api, path, value)
        refused += theirs is None
        assert (theirs is not None) == (not ours.faults), (number, value["spec"], ours.faults, theirs)
        if theirs is not None:
            assert theirs["spec"] == ours.object["spec"], number
    assert count / 10 < refused < count * 9 / 10


def stored(api: LiveApi, path: str, value: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the server would store; None when it is invalid."""
    try:
        return api.call("POST", path, {"dryRun": "All"}, value)
    except CloudError as error:
        if error.code != "Invalid":
            raise
        return None


def without_rules(node: Node) -> Node:
    """Return a schema without CEL rules: this server is older than they are."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stripped(item) for key, item in value.items() if key != "x-kubernetes-validations"}
        return [stripped(item) for item in value] if isinstance(value, list) else value

    return Node(stripped(node.raw))


def within(small: Any, large: Any) -> bool:
    """Whether ``large`` has all that ``small`` has; the server adds defaults."""
    if isinstance(small, dict):
        return all(key in large and within(value, large[key]) for key, value in small.items())
    if isinstance(small, list):
        return len(small) == len(large) and all(within(a, b) for a, b in zip(small, large, strict=True))
    return bool(small == large)
