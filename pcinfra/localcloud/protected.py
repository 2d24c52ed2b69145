"""ParallelCluster's protected mode: a queue whose nodes fail to start again and again is switched off.

Sources: aws-parallelcluster-node, ``slurm_plugin/clustermgtd.py`` (``_handle_protected_mode_process``,
``_enter_protected_mode``); user guide, "Slurm cluster protected mode".
"""

from __future__ import annotations

import configparser
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pcinfra.localcloud.slurm.config import ComputeNode

FAILURES = 10
"""Failures after which a queue is switched off, where the file below says nothing; 0 or less: it never is."""

SETTINGS = "parallelcluster/slurm_plugin/parallelcluster_clustermgtd.conf"
"""clustermgtd's settings, in /etc of the head node."""

ENTERED = (
    "Setting cluster into protected mode due to failures detected in node provisioning. Please investigate the issue "
    "and then use 'pcluster update-compute-fleet --status START_REQUESTED' command to re-enable the fleet."
)

_UP = ("idle", "allocated", "mixed", "completing", "draining")
_BUSY = ("allocated", "mixed", "completing", "draining")
_NOT_YET = ("~", "#", "%", "*", "!", "@", "^")
"""Ends of the state of a node that is off, on its way, or silent; see sinfo(1), "NODE STATE CODES"."""


@dataclass
class Failures:
    """The nodes of a cluster that failed to start, counted by queue and compute resource."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)

    def look(self, states: Mapping[str, str], compute: Mapping[str, ComputeNode]) -> None:
        """Note which nodes are up; a compute resource with one that is forgets its queue's failures."""
        self.arrived &= {name for name, state in states.items() if not state.endswith(("~", "#"))}
        self.arrived |= {name for name, state in states.items() if is_up(state)}
        for name in self.arrived & compute.keys():
            queue, resource = _place(compute[name])
            if resource in self.counts.get(queue, {}):
                del self.counts[queue]

    def failed(self, nodes: Iterable[ComputeNode]) -> list[str]:
        """Count those of ``nodes``, which are ending, that have never been up; return their names."""
        never = [node for node in nodes if node.name not in self.arrived]
        for node in never:
            queue, resource = _place(node)
            self.counts.setdefault(queue, Counter())[resource] += 1
        return [node.name for node in never]

    def to_disable(
        self, limit: int, states: Mapping[str, str], compute: Mapping[str, ComputeNode], inactive: Collection[str]
    ) -> list[str]:
        """Return the queues to switch off now. While jobs run in one that should be, none is."""
        if limit <= 0:
            return []
        over = [q for q, failures in self.counts.items() if q not in inactive and failures.total() >= limit]
        busy = {_place(compute[name])[0] for name, state in states.items() if name in compute and _has_job(state)}
        return [] if busy & set(over) else sorted(over)

    def clear(self) -> None:
        """Begin anew: the fleet is started."""
        self.counts.clear()


def limit(etc: Path) -> int:
    """Return the ``protected_failure_count`` of the head node, whose ``/etc`` is ``etc``."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string((etc / SETTINGS).read_text(encoding="utf-8"))
        return parser.getint("clustermgtd", "protected_failure_count", fallback=FAILURES)
    except (OSError, ValueError, configparser.Error):
        return FAILURES


def write_settings(etc: Path) -> None:
    """Put the file of settings where there is none."""
    path = etc / SETTINGS
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[clustermgtd]\n", encoding="ascii")


def is_up(state: str) -> bool:
    return state.startswith(_UP) and not state.endswith(_NOT_YET)


def _has_job(state: str) -> bool:
    return state.startswith(_BUSY) and not state.endswith(_NOT_YET)


def _place(node: ComputeNode) -> tuple[str, str]:
    return str(node.queue["Name"]), str(node.resource["Name"])
