"""Why a cluster could not be created or changed: found in the stack, in pcluster's answer and in its nodes' logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pcinfra.clusters import streams
from pcinfra.clusters.facts import find
from pcinfra.clusters.known import Cause, matching
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.probe import failure_cause
from pcinfra.clusters.streams import Stream
from pcinfra.errors import NotFound, PcinfraError, ResourceFailed

if TYPE_CHECKING:
    from pcinfra.cloudformation import Stack
    from pcinfra.doors import Doors

LINES = 12  # lines of a log that are shown
_READ = 300  # lines of a log that are read to find the ones to show
_NODES = 3  # compute nodes whose logs are read: they fail alike
_TROUBLE = re.compile(
    r"error|fail|fatal|denied|refused|traceback|exception|cannot|unable|not found|pcinfra-status", re.I
)
_WAIT = re.compile(r"^.*?WaitCondition received failed message: '(.*)' for uniqueId: (\S+)$", re.DOTALL)

# Logs by how soon they tell why a node did not come up.
HEAD = ("cfn-init", *streams.SYSTEM, "chef-client", "clustermgtd", "slurmctld")
COMPUTE = ("bootstrap_error_msg", "cloud-init-output", *streams.SYSTEM, "slurmd")


@dataclass(frozen=True, slots=True)
class Extract:
    """The end of one log of one node."""

    stream: Stream
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed.

    Args:
        what: in a sentence. ``codes`` are pcluster's, with their words.
        node: which node; empty when none is to blame.
        extracts: the ends of the logs that speak of it.
    """

    name: str
    status: str
    what: str
    node: str = ""
    codes: tuple[str, ...] = ()
    extracts: tuple[Extract, ...] = ()
    causes: tuple[Cause, ...] = ()

    def error(self) -> ResourceFailed:
        """Return it as an error to print: what, where, the last lines of its log, what to do."""
        told = [f"{self.status}: {self.what}"]
        told += [f"  pcluster says {code}" for code in self.codes]
        told += [f"  on {self.node}"] if self.node else []
        for extract in self.extracts:
            told += [f"  {extract.stream.log} of {extract.stream.host}, last lines:"]
            told += [f"    | {line}" for line in extract.lines]
        told += [f"  this means: {cause.means}" for cause in self.causes]
        return ResourceFailed("\n".join(told), where=f"cluster {self.name}", hint=self.hint)

    @property
    def hint(self) -> str:
        first = self.causes[0].do.format(name=self.name) if self.causes else ""
        more = f"everything about it, in one file: pcinfra cluster diagnose {self.name}"
        return f"{first}\n  try: {more}" if first else more


def failure_of(doors: Doors, name: str) -> Failure | None:
    """Return what failed in cluster ``name``; None when nothing has, or there is no such cluster."""
    stack = find(doors.cloud, name).stack
    if stack is None or not _failed(stack):
        return None
    reason = failure_cause(doors.cloud, stack)
    said, head = unwrapped(reason)
    codes = _codes(doors, name)
    extracts = tuple(_extracts(doors, stack, head, any("StaticNode" in code for code in codes) or "PROTECTED" in said))
    texts = [said, *codes, *(line for extract in extracts for line in extract.lines)]
    own = [*matching([said]), *matching(texts)]
    causes = tuple(dict.fromkeys(own))[:2]
    return Failure(name, stack.status, said, _node(extracts, head), codes, extracts, causes)


def unwrapped(reason: str) -> tuple[str, str]:
    """Return what a head node signalled, and its instance id, of a failure's reason; else the reason itself."""
    match = _WAIT.match(reason)
    return (match[1], match[2]) if match else (reason, "")


def _failed(stack: Stack) -> bool:
    return "FAILED" in stack.status or "ROLLBACK" in stack.status


def _codes(doors: Doors, name: str) -> tuple[str, ...]:
    try:
        failures = Pcluster(doors.shell, doors.target).describe(name).failures
    except PcinfraError:
        return ()
    return tuple(f"{code}: {reason}" for code, reason in failures)


def _extracts(doors: Doors, stack: Stack, head: str, compute_too: bool) -> Iterator[Extract]:
    """Yield the ends of the logs that speak of trouble, those of compute nodes first where they are to blame."""
    try:
        group = streams.log_group(stack)
    except NotFound:
        return
    found = streams.streams(doors.cloud, group)
    heads = {head} if head else {stream.instance for stream in found if stream.log in ("cfn-init", "slurmctld")}
    compute = [stream for stream in found if stream.instance not in heads]
    if compute_too:
        yield from _chosen(doors, group, compute, COMPUTE, _NODES)
    yield from _chosen(doors, group, [stream for stream in found if stream.instance in heads], HEAD, 1)


def _chosen(doors: Doors, group: str, found: Sequence[Stream], logs: Sequence[str], nodes: int) -> Iterator[Extract]:
    """Yield, for some nodes, the first log that speaks of trouble."""
    for instance in sorted({stream.instance for stream in found})[:nodes]:
        own = {stream.log: stream for stream in found if stream.instance == instance}
        extracts = (_extract(doors, group, own[log]) for log in logs if log in own)
        extract = next(filter(None, extracts), None)
        if extract:
            yield extract


def _extract(doors: Doors, group: str, stream: Stream) -> Extract | None:
    lines = [line.text for line in streams.tail(doors.cloud, group, stream, _READ)]
    last = max((number for number, text in enumerate(lines) if _TROUBLE.search(text)), default=-1)
    if last < 0:
        return None
    return Extract(stream, tuple(lines[max(0, last + 1 - LINES) : last + 1]))


def _node(extracts: Sequence[Extract], head: str) -> str:
    if not extracts:
        return head and f"the head node, {head}"
    first = extracts[0].stream
    role = "the head node" if first.instance == head or first.log in HEAD[:1] else "a compute node"
    return f"{role}, {first.host} ({first.instance})"
