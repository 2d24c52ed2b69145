"""What a resource handler is given, and what it gives back."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.errors import Cancelled, ResourceFailure
from pcinfra.localcloud.cfn.hooks import Hooks, MadeResource

if TYPE_CHECKING:
    from pcinfra.localcloud.cfn.clients import Clients
    from pcinfra.localcloud.cfn.model import StackState
    from pcinfra.localcloud.cfn.nested import NestedStacks

Json = dict[str, Any]

POLL_SECONDS = 0.05
SYSTEM_TAGS = ("stack-name", "stack-id", "logical-id")
_LETTERS = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Made:
    """A resource that has been made: what Ref returns, and what GetAtt returns by (dotted) attribute name."""

    physical_id: str
    attributes: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Existing:
    """A resource as it is before an update or a deletion."""

    physical_id: str
    properties: Json
    attributes: Json


@dataclass(frozen=True)
class Context:
    """The surroundings of one resource.

    Attributes:
        client: boto3 client of a service, in the stack's account and region.
        tags: stack tags and the resource's own ``Tags``, the latter winning; without AWS's own ``aws:`` tags.
        begun: to be called with the physical id the moment something exists that a rollback must delete.
        cancelled: true once the operation has been given up.
        resources: physical ids and attributes of the resources made so far.
        settled: true once everything is made that does not wait for this resource.
        parameters: the stack's resolved parameters.
    """

    stack: StackState
    logical_id: str
    client: Clients
    tags: Mapping[str, str]
    begun: Callable[[str], None]
    cancelled: Callable[[], bool]
    resources: Callable[[str], MadeResource]
    settled: Callable[[], bool]
    parameters: Mapping[str, str | list[str]]
    hooks: Hooks
    nested: NestedStacks

    @property
    def account(self) -> str:
        return self.stack.account

    @property
    def region(self) -> str:
        return self.stack.region

    def name(self, limit: int = 64) -> str:
        """A physical name as CloudFormation makes one: stack name, logical id, twelve random characters."""
        tail = "-" + unique()
        return f"{self.stack.name}-{self.logical_id}"[: limit - len(tail)] + tail

    def tag_list(self) -> list[dict[str, str]]:
        """``tags`` as most services take them."""
        return [{"Key": key, "Value": value} for key, value in self.tags.items()]

    def system_tags(self) -> dict[str, str]:
        """The tags CloudFormation adds itself.

        Source: CloudFormation user guide, "Resource tags": stack-name, stack-id and logical-id, with prefix aws:.
        """
        values = (self.stack.name, self.stack.stack_id, self.logical_id)
        return {f"aws:cloudformation:{key}": value for key, value in zip(SYSTEM_TAGS, values, strict=True)}

    def poll(self, done: Callable[[], bool]) -> None:
        """Call ``done`` until it is true.

        Raises:
            Cancelled: the operation was given up meanwhile.
        """
        pause = POLL_SECONDS / 5
        while not done():
            if self.cancelled():
                raise Cancelled
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS * 4)


Create = Callable[[Context, Json], Made]
Delete = Callable[[Context, Existing], None]
Update = Callable[[Context, Existing, Json], Json]


def _keep(_context: Context, _existing: Existing) -> None:
    """Deleting does nothing: the resource is only an entry of the stack."""


@dataclass(frozen=True)
class Handler:
    """How one resource type is made, changed and removed.

    Attributes:
        properties: the properties that the handler carries out; a template with any other is refused.
        update: changes the resource in place and returns its attributes; None when nothing can change in place here.
        snapshot: deletes it with a last snapshot; None where a template cannot ask for one.
    """

    type: str
    properties: frozenset[str]
    create: Create
    delete: Delete = _keep
    update: Update | None = None
    snapshot: Delete | None = None


def refuse_changes(existing: Existing, properties: Json, *keys: str) -> None:
    """Fail an update in place of properties that only AWS can change.

    Raises:
        ResourceFailure: one of them differs.
    """
    for key in keys:
        if existing.properties.get(key) != properties.get(key):
            raise ResourceFailure(f"not implemented by the local cloud: changing {key} in place")


def names(text: str) -> frozenset[str]:
    """Property names, separated by spaces."""
    return frozenset(text.split())


def unique(length: int = 12) -> str:
    """Random capitals and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def error_code(error: Exception) -> str:
    """The AWS error code of a failed call, empty for other exceptions."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def is_gone(error: Exception) -> bool:
    """Whether a call failed because what it is about does not exist (any more)."""
    code = error_code(error)
    return "NotFound" in code or code.startswith("NoSuch")


def handler_failure(message: str) -> ResourceFailure:
    """The reason of a resource that its service refused or lost."""
    return ResourceFailure(f'Resource handler returned message: "{message}"')


def fit(value: Any, shape: Any, where: str) -> Any:
    """Shape evaluated properties as a botocore input; keys the API does not have are refused, never dropped."""
    kind = shape.type_name
    if kind == "structure":
        unknown = sorted(set(value) - set(shape.members))
        if unknown:
            raise ResourceFailure(f"not implemented by the local cloud: {where}.{unknown[0]}")
        return {key: fit(item, shape.members[key], f"{where}.{key}") for key, item in value.items()}
    if kind == "list":
        return [fit(item, shape.member, where) for item in value]
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return str(value) if kind == "string" else value


def input_shape(client: Any, operation: str) -> Any:
    """The botocore shape of an operation's input."""
    return client.meta.service_model.operation_model(operation).input_shape
