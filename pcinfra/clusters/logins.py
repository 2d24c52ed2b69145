"""Stopping the login nodes of a cluster for a change that pcluster makes only without them.

pcluster 3.16.1, ``config/update_policy.py``: LOGIN_NODES_STOP, LOGIN_NODES_POOL_STOP and COMPUTE_AND_LOGIN_NODES_STOP;
``schemas/cluster_schema.py``: the Count of a pool may change, down to 0, while its nodes run. A login node tells those
who are logged in and goes after its GracetimePeriod.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra import cloudformation
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.probe import ClusterProbe
from pcinfra.engine import Action, Kind, Pending

if TYPE_CHECKING:
    from pcinfra.doors import Doors

_USUAL_GRACE = 10
"""Minutes (ParallelCluster, LoginNodes/Pools/GracetimePeriod)."""

_UPDATE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class LoginProbe:
    """Counts the login nodes that run as pcluster counts them, by the name of the cluster."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, int]:
        program = Pcluster(doors.shell, doors.target)
        return {key: program.describe(key).login_nodes for key in keys}


@dataclass(frozen=True, slots=True)
class CountToZero:
    """Gives every pool of a cluster the Count 0: an update of its own; the result is the Stack."""

    name: str
    config: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending:
        stack_id = Pcluster(context.shell, context.target).update(self.name, self.config)
        judge = cloudformation.until_ready(self.name, f"pcinfra cluster events {self.name}")
        return Pending(ClusterProbe(), stack_id, judge, cloudformation.progress)


@dataclass(frozen=True, slots=True)
class AwaitNoLogins:
    """Waits until no login node runs."""

    name: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending:
        return Pending(LoginProbe(), self.name, until_none(), lambda count: f"{count} still run" if count else "")


def until_none() -> Callable[[int | None], tuple[int] | None]:
    """Return the judge of a number that is to become 0."""
    return lambda count: (0,) if count == 0 else None


def without(config: str) -> str:
    """Return a configuration (pcluster YAML) with the Count of every login pool 0."""
    data = yaml.safe_load(config)
    for pool in data["LoginNodes"]["Pools"]:
        pool["Count"] = 0
    return yaml.safe_dump(data, sort_keys=False)


def stopping_logins(name: str, config: str, after: frozenset[str]) -> tuple[Action, ...]:
    """Return the Actions after which no login node of cluster ``name``, which has ``config``, runs."""
    pools = yaml.safe_load(config)["LoginNodes"]["Pools"]
    minutes = max(int(pool.get("GracetimePeriod", _USUAL_GRACE)) for pool in pools)
    actions: list[Action] = []
    if any(int(pool["Count"]) for pool in pools):
        what, why = (
            f"login nodes of {name}: stop",
            f"a change needs it; they go {minutes} min after telling their users",
        )
        loses = f"sessions on the login nodes of {name}, {minutes} min after they are told"
        operation = CountToZero(name, without(config))
        actions.append(Action(f"cluster/{name}/logins", Kind.RUN, what, why, operation, after, loses, _UPDATE_SECONDS))
        after = frozenset({actions[0].id})
    what, why = f"login nodes of {name}: wait until they are gone", "pcluster makes the change only then"
    wait = Action(f"cluster/{name}/logins/gone", Kind.RUN, what, why, AwaitNoLogins(name), after, "", 60.0 * minutes)
    return (*actions, wait)
