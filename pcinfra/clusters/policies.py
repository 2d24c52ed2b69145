"""What pcluster's own update policies say of a change: run as a program, because pcluster keeps global state.

``python -m pcinfra.clusters.policies`` reads ``{"name", "region", "before", "after", "login"}`` from standard input
(two configurations as mappings; whether login nodes run) and prints a list of verdicts. It makes no call.

Nothing here knows a policy. Each change is put to pcluster's ``UpdatePolicy.check`` (aws-parallelcluster 3.16.1,
``config/config_patch.py`` and ``config/update_policy.py``) under each circumstance in :data:`CIRCUMSTANCES`, and what
it allows in which tells what the change needs.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

_STRATEGY = "QueueUpdateStrategy"
_SETTINGS = "SlurmSettings"
PLAIN = "COMPUTE_FLEET_STOP"
"""pcluster's default strategy: it allows nothing that it would not allow anyway."""


class Needs(StrEnum):
    """What must be so before pcluster applies a change; from the mildest on."""

    NOTHING = "nothing"  # it is applied while everything runs
    DRAINED_NODES = "drained nodes"  # by QueueUpdateStrategy: nodes change when their jobs have ended, or are ended
    STOPPED_FLEET = "stopped fleet"
    STOPPED_LOGIN_NODES = "stopped login nodes"
    STOPPED_BOTH = "stopped fleet and login nodes"
    NEW_CLUSTER = "new cluster"  # pcluster never applies it to a cluster that exists


@dataclass(frozen=True, slots=True)
class Circumstance:
    """A state of a cluster in which pcluster is asked.

    Args:
        strategy: the QueueUpdateStrategy of the new configuration counts.
    """

    needs: Needs
    fleet: bool
    login: bool
    strategy: bool


CIRCUMSTANCES = (
    Circumstance(Needs.NOTHING, fleet=True, login=True, strategy=False),
    Circumstance(Needs.DRAINED_NODES, fleet=True, login=True, strategy=True),
    Circumstance(Needs.STOPPED_FLEET, fleet=False, login=True, strategy=True),
    Circumstance(Needs.STOPPED_LOGIN_NODES, fleet=True, login=False, strategy=True),
    Circumstance(Needs.STOPPED_BOTH, fleet=False, login=False, strategy=True),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One change and what it needs.

    Args:
        path: in pcluster's configuration, for example ``Scheduling.SlurmQueues[gpu].ComputeResources[p5].MaxCount``.
        before: the value as JSON; None when there was none. ``after`` likewise.
        policy: pcluster's name of the policy.
        reason: pcluster's words for why it is not applied while everything runs; empty when it is.
    """

    path: str
    before: str | None
    after: str | None
    policy: str
    needs: Needs
    reason: str = ""


def verdicts(name: str, before: Mapping[str, Any], after: Mapping[str, Any], *, login: bool) -> Iterator[Verdict]:
    """Yield what each difference of two configurations of cluster ``name`` needs, in pcluster's order."""
    patches = [_patch(name, before, after, each, login) for each in CIRCUMSTANCES]
    for changes in zip(*(patch.changes for patch in patches), strict=True):
        told = [change.update_policy.check(change, patch) for change, patch in zip(changes, patches, strict=True)]
        if any(shown for *_, shown in told):
            yield _verdict(changes[0], told)


def _verdict(change: Any, told: list[tuple[Any, str, str | None, bool]]) -> Verdict:
    allowed = (each.needs for each, (result, *_) in zip(CIRCUMSTANCES, told, strict=True) if result == "SUCCEEDED")
    needs = next(allowed, Needs.NEW_CLUSTER)
    reason, action = told[-1 if needs is Needs.NEW_CLUSTER else 0][1:3]
    said = ". ".join(text.rstrip(".") for text in (reason, action) if text and text != "-")
    path = ".".join([*change.path, change.key])
    return Verdict(path, _text(change.old_value), _text(change.new_value), change.update_policy.name, needs, said)


def _text(value: Any) -> str | None:
    if value in (None, "-"):
        return None
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _patch(name: str, before: Mapping[str, Any], after: Mapping[str, Any], where: Circumstance, login: bool) -> Any:
    from pcluster.config.config_patch import ConfigPatch

    target = copy.deepcopy(dict(after))
    settings = (target.get("Scheduling") or {}).get(_SETTINGS)
    patch = ConfigPatch(_cluster(name, where, login), dict(before), target)
    if not where.strategy and isinstance(settings, dict) and _STRATEGY in settings:
        patch.target_config["Scheduling"][_SETTINGS][_STRATEGY] = PLAIN
    return patch


def _cluster(name: str, where: Circumstance, login: bool) -> Any:
    """Return as much of pcluster's Cluster as its policies look at. The head node always runs."""
    return SimpleNamespace(
        name=name,
        stack_name=name,
        has_running_capacity=lambda *_, **__: where.fleet,
        has_running_login_nodes=lambda *_, **__: where.login and login,
        head_node_instance=SimpleNamespace(state="running"),
    )


def main() -> None:
    """Answer one question on standard input."""
    asked = json.load(sys.stdin)
    os.environ["AWS_DEFAULT_REGION"] = asked["region"]
    found = verdicts(asked["name"], asked["before"], asked["after"], login=asked["login"])
    json.dump([asdict(verdict) for verdict in found], sys.stdout)


if __name__ == "__main__":
    main()
