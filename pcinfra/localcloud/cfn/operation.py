"""One operation on one stack: what creating, updating, deleting and rolling back have in common.

States, events and reasons are those of the CloudFormation user guide, "Stack status codes" and "Understand stack
creation events".
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn import checks, graph, intrinsics, nested
from pcinfra.localcloud.cfn.account import Account
from pcinfra.localcloud.cfn.clients import clients
from pcinfra.localcloud.cfn.dynamic import resolved
from pcinfra.localcloud.cfn.errors import Cancelled, CfnError, ResourceFailure, not_implemented
from pcinfra.localcloud.cfn.handlers import handler
from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Made, error_code, is_gone
from pcinfra.localcloud.cfn.hooks import MadeResource
from pcinfra.localcloud.cfn.model import Definition, Json, Resource, StackState
from pcinfra.localcloud.cfn.scope import StackScope
from pcinfra.localcloud.cfn.template import ResourceSpec, Template, load
from pcinfra.localcloud.cfn.validate import validate

if TYPE_CHECKING:
    from pcinfra.localcloud.cfn.backend import Backend

WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"
DEPENDENCY_RETRY_SECONDS = 1.0
"""How long a deletion refused with DependencyViolation is tried again; what holds it may be on its way out."""


class Operation:
    """A running operation. Resources are worked on by several threads at once, each on its own resource."""

    def __init__(
        self,
        backend: Backend,
        state: StackState,
        definition: Definition,
        values: dict[str, str | list[str]],
        cancel: threading.Event,
    ) -> None:
        self.backend = backend
        self.state = state
        self.definition = definition
        self.template: Template = load(definition.body)
        self.account = Account(state.account, state.region)
        self.scope = self._scope(values)
        self.plan: dict[str, frozenset[str]] = {}
        self.done: set[str] = set()
        self._cancel = cancel
        self._failed = threading.Event()

    def _scope(self, values: dict[str, str | list[str]]) -> StackScope:
        return StackScope(
            self.state,
            self.template,
            values,
            resources=self._resource,
            zones=self.account.zones,
            exported=self.backend.export_value,
        )

    def _resource(self, logical_id: str) -> Resource | None:
        resource = self.state.resources.get(logical_id)
        return resource if resource is not None and resource.exists else None

    @property
    def cancelled(self) -> bool:
        """Whether the user asked for the operation to end (cancel or delete)."""
        return self._cancel.is_set()

    def stopped(self) -> bool:
        """Whether nothing new may start: something failed, or the user asked."""
        return self._failed.is_set() or self._cancel.is_set()

    def fail(self) -> None:
        """Let nothing new start."""
        self._failed.set()

    def proceed(self) -> None:
        """Forget a failure: the rollback that follows must run to its end."""
        self._failed.clear()
        self._cancel.clear()

    def record(self, status: str, reason: str | None = None, resource: Resource | None = None) -> None:
        """Set a status and append its event."""
        with self.backend.guard:
            self.state.record(status, reason, resource)
        self.backend.touch()

    def handler(self, resource_type: str) -> Handler:
        found = handler(resource_type)
        if found is None:
            raise not_implemented(resource_type)
        return found

    def settled(self, logical_id: str) -> bool:
        """Whether all is made that does not itself wait for this resource; other wait conditions do not count."""
        waiting = {name for name in self.plan if logical_id in graph.closure(self.plan, name)}
        types = self.template.resources
        others = [name for name in self.plan if name not in waiting and types[name].type != WAIT_CONDITION]
        return all(name in self.done for name in others if name != logical_id)

    def resource_tags(self, resource_type: str, properties: Json, stack_tags: dict[str, str]) -> dict[str, str]:
        """Stack tags and the resource's own; a resource's tag wins over the stack's of the same key."""
        if not checks.schemas(self.state.region).get(resource_type).taggable:
            return {}
        own = properties.get("Tags") or []
        pairs = (
            {tag["Key"]: str(tag["Value"]) for tag in own if isinstance(tag, dict)} if isinstance(own, list) else own
        )
        return {**stack_tags, **pairs}

    def context(self, resource: Resource) -> Context:
        """The surroundings that a handler works in."""

        def begun(physical_id: str) -> None:
            if resource.physical_id is None:
                resource.physical_id = physical_id
                self.record("CREATE_IN_PROGRESS", "Resource creation Initiated", resource)

        return Context(
            stack=self.state,
            logical_id=resource.logical_id,
            client=clients(self.state.account, self.state.region),
            tags=resource.tags,
            begun=begun,
            cancelled=self.stopped,
            resources=self._made,
            settled=lambda: self.settled(resource.logical_id),
            parameters=self.scope.parameters,
            hooks=self.backend.hooks,
            nested=nested.NestedStacks(self.backend, self.state, self.definition),
        )

    def _made(self, logical_id: str) -> MadeResource:
        resource = self._resource(logical_id)
        if resource is None:
            raise KeyError(logical_id)
        return MadeResource(str(resource.physical_id), dict(resource.attributes))

    def properties_of(self, spec: ResourceSpec) -> Json:
        """Evaluated, validated and coerced properties.

        Raises:
            ResourceFailure: they do not fit the schema.
        """
        evaluated = intrinsics.evaluate(spec.properties, self.scope)
        schema = checks.schemas(self.state.region).get(spec.type)
        return validate(schema, spec.logical_id, evaluated)

    def new_resource(self, spec: ResourceSpec, needs: frozenset[str]) -> Resource:
        return Resource(
            logical_id=spec.logical_id,
            type=spec.type,
            needs=needs,
            deletion_policy=spec.deletion_policy,
            update_replace_policy=spec.update_replace_policy,
            metadata=spec.metadata,
        )

    def make(self, resource: Resource, spec: ResourceSpec, *, verb: str = "CREATE") -> bool:
        """Make a resource; its state and events say how it went.

        Args:
            verb: CREATE, or UPDATE when it replaces a resource during an update.

        Returns:
            Whether it exists now and is complete.
        """
        if verb == "CREATE":
            self.record("CREATE_IN_PROGRESS", None, resource)
        try:
            resource.properties = self.properties_of(spec)
            resource.tags = self.resource_tags(resource.type, resource.properties, self.definition.tags)
            made = self._create(resource)
        except Cancelled:
            self._give_up(resource, verb, "Resource creation cancelled")
            return False
        except Exception as error:
            self._give_up(resource, verb, reason_of(error))
            return False
        resource.physical_id, resource.attributes = made.physical_id, made.attributes
        self.record(f"{verb}_COMPLETE", None, resource)
        return True

    def _create(self, resource: Resource) -> Made:
        context = self.context(resource)
        made = self.handler(resource.type).create(context, resolved(resource.properties, context.client))
        context.begun(made.physical_id)
        if self.stopped():
            raise Cancelled
        return made

    def _give_up(self, resource: Resource, verb: str, reason: str) -> None:
        self.fail()
        self.record(f"{verb}_FAILED", reason, resource)

    def remove(self, resource: Resource, *, retain: bool, policy: str | None = None) -> bool:
        """Delete a resource, or keep it and say so.

        Args:
            policy: Snapshot makes a last one; without it the deletion policy counts.

        Returns:
            Whether it is gone, or deliberately kept.
        """
        if not resource.exists:
            if resource.status not in ("DELETE_COMPLETE", "DELETE_SKIPPED"):
                self.record("DELETE_COMPLETE", None, resource)
            return True
        if retain:
            self.record("DELETE_SKIPPED", None, resource)
            return True
        self.record("DELETE_IN_PROGRESS", None, resource)
        try:
            self._delete(resource, policy or resource.deletion_policy)
        except Exception as error:
            if not is_gone(error):
                self.record("DELETE_FAILED", reason_of(error), resource)
                return False
        self.record("DELETE_COMPLETE", None, resource)
        return True

    def _delete(self, resource: Resource, policy: str | None) -> None:
        existing = Existing(str(resource.physical_id), resource.properties, resource.attributes)
        handler = self.handler(resource.type)
        delete = handler.snapshot if handler.snapshot and policy == "Snapshot" else handler.delete
        context = self.context(resource)
        patient(lambda: delete(context, existing))

    def evaluate_outputs(self) -> list[Json]:
        """The stack's outputs and exports.

        Raises:
            CfnError: an output cannot be evaluated, or another stack exports the name already.
        """
        rows: list[Json] = []
        for key, output in self.template.outputs.items():
            if output.get("Condition") and not self.scope.condition(output["Condition"]):
                continue
            value = intrinsics.text_of(intrinsics.evaluate(output["Value"], self.scope))
            row: Json = {"OutputKey": key, "OutputValue": value, "Description": output.get("Description")}
            if output.get("Export"):
                name = intrinsics.text_of(intrinsics.evaluate(output["Export"]["Name"], self.scope))
                owner = self.backend.exporter(name)
                if owner is not None and owner is not self.state or any(r.get("ExportName") == name for r in rows):
                    taken = owner.name if owner is not None else self.state.name
                    raise CfnError(
                        f"Export with name {name} is already exported by stack {taken}. Rule: the Export name must be"
                        " unique in a region of an account."
                    )
                row["ExportName"] = name
            rows.append(row)
        return rows


def patient(delete: Callable[[], Any]) -> None:
    """Run a deletion, again while something else still depends on what it deletes."""
    deadline = time.monotonic() + DEPENDENCY_RETRY_SECONDS
    while True:
        try:
            delete()
            return
        except ClientError as error:
            if "DependencyViolation" not in error_code(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def reason_of(error: Exception) -> str:
    """The ResourceStatusReason for an exception, worded as CloudFormation's resource handlers do."""
    if isinstance(error, (ResourceFailure, CfnError)):
        return str(error)
    if isinstance(error, ClientError):
        answer = error.response
        service = error.operation_name
        meta = answer.get("ResponseMetadata", {})
        status, request = meta.get("HTTPStatusCode", 400), meta.get("RequestId", "")
        detail = f"(Service: {service}, Status Code: {status}, Request ID: {request})"
        message = f"{answer['Error'].get('Message', '')} {detail}"
        return _returned(message, _handler_code(error))
    return _returned(f"{type(error).__name__}: {error}", "InternalFailure")


def _returned(message: str, code: str) -> str:
    return f'Resource handler returned message: "{message}" (RequestToken: {uuid.uuid4()}, HandlerErrorCode: {code})'


def _handler_code(error: ClientError) -> str:
    """Source: CloudFormation CLI user guide, "Handler error codes"."""
    code = error_code(error)
    if is_gone(error):
        return "NotFound"
    if "AlreadyExists" in code or "AlreadyOwned" in code or "Duplicate" in code:
        return "AlreadyExists"
    return "GeneralServiceException" if code.startswith(("Internal", "Service")) else "InvalidRequest"


def failed(state: StackState, status: str, *, verb: str) -> str | None:
    """The sentence about the resources that have this status; None when there are none."""
    names = [resource.logical_id for resource in list(state.resources.values()) if resource.status == status]
    return f"The following resource(s) failed to {verb}: [{', '.join(names)}]. " if names else None
