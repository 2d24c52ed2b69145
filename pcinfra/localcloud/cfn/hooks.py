"""Where the rest of the local cloud plugs into the CloudFormation engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MadeResource:
    """A resource of the stack that exists already: its physical id and its attributes as GetAtt gives them."""

    physical_id: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class WaitCondition:
    """A WaitCondition that CloudFormation has begun to wait for.

    Attributes:
        parameters: the stack's resolved parameters: text, or a list of texts.
        timeout: seconds, from the template.
        resource: looks up a made resource by logical id; KeyError when there is none.
        client: makes a boto3 client (service name) of the stack's account and region.
        cancelled: true once the stack's operation was given up; poll it while waiting.
    """

    stack_name: str
    stack_id: str
    logical_id: str
    account: str
    region: str
    parameters: Mapping[str, str | list[str]]
    timeout: int
    resource: Callable[[str], MadeResource]
    client: Callable[[str], Any]
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class StackDeleted:
    """A stack has reached DELETE_COMPLETE, or ROLLBACK_COMPLETE with everything deleted."""

    stack_name: str
    stack_id: str
    account: str
    region: str


def _no_signal(_condition: WaitCondition) -> Mapping[str, str]:
    return {}


def _ignore(_deleted: StackDeleted) -> None:
    return None


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Hooks:
    """Callables of the rest of the local cloud; all of them are called from the engine's own threads.

    Attributes:
        wait_condition: called when an ``AWS::CloudFormation::WaitCondition`` is created, once everything of the stack
            is made that does not wait for it (on AWS it waits from its own creation on, but a machine boots slower
            than the rest is made). It returns the signals, unique id to data, which become the attribute ``Data``.
            Whatever it raises fails the resource with that text; ParallelCluster expects
            ``WaitCondition received failed message: '<reason>' for uniqueId: <instance id>``.
            It is called again on updates: ParallelCluster gives its WaitCondition a new logical id on every cluster
            update, so that an update makes a new one and removes the old.
        stack_deleted: called once a stack is gone, before its final event is visible.
        mutated: called after every change of state, possibly many times a second; it must return at once.
    """

    wait_condition: Callable[[WaitCondition], Mapping[str, str]] = _no_signal
    stack_deleted: Callable[[StackDeleted], None] = _ignore
    mutated: Callable[[], None] = _nothing
