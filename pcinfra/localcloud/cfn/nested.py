"""Nested stacks, as the resource AWS::CloudFormation::Stack drives them.

They differ from AWS's in one way: their clean-up phase does not wait for the parent, so that a parent that rolls back
after its nested stack was updated makes again what the nested update removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcinfra.localcloud.cfn.errors import CfnError, ResourceFailure
from pcinfra.localcloud.cfn.model import Definition, StackState

if TYPE_CHECKING:
    from pcinfra.localcloud.cfn.backend import Backend


class NestedStacks:
    """Make, change and delete the nested stacks of one parent; every call returns when the nested stack is done."""

    def __init__(self, backend: Backend, parent: StackState, parent_definition: Definition) -> None:
        self._backend = backend
        self._parent = parent
        self._definition = parent_definition

    def create(self, name: str, url: str, parameters: dict[str, str], tags: dict[str, str]) -> StackState:
        """Begin a nested stack; :meth:`run` makes it.

        Raises:
            ResourceFailure: its template or parameters are refused.
        """
        try:
            definition = self._request(url, parameters, tags)
            child = self._backend.new_stack(
                name, definition, parent=self._parent, on_failure="DO_NOTHING", disable_rollback=True
            )
        except CfnError as error:
            raise ResourceFailure(str(error)) from error
        return child

    def run(self, child: StackState) -> None:
        """Make a nested stack that :meth:`create` began.

        Raises:
            ResourceFailure: it failed; it keeps what it made until its parent deletes it.
        """
        self._backend.run_create(child)
        if child.status != "CREATE_COMPLETE":
            raise ResourceFailure(
                f"Embedded stack {child.stack_id} was not successfully created: {child.reason or 'User Initiated'}"
            )

    def update(self, stack_id: str, url: str, parameters: dict[str, str], tags: dict[str, str]) -> StackState:
        """Update a nested stack; without changes nothing happens.

        Raises:
            ResourceFailure: the update is refused or failed.
        """
        child = self._backend.find(stack_id)
        before = len(child.events)
        try:
            self._backend.run_update(child, self._request(url, parameters, tags))
        except CfnError as error:
            if not error.message.startswith("No updates"):
                raise ResourceFailure(f"Embedded stack {stack_id} was not successfully updated: {error}") from error
        if child.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE") and not child.status.startswith(
            "UPDATE_ROLLBACK"
        ):
            raise ResourceFailure(f"Embedded stack {stack_id} was not successfully updated: {child.reason}")
        rolled_back = [event for event in child.events[before:] if event.status == "UPDATE_ROLLBACK_IN_PROGRESS"]
        if rolled_back:
            raise ResourceFailure(f"Embedded stack {stack_id} was not successfully updated: {rolled_back[-1].reason}")
        return child

    def delete(self, stack_id: str) -> None:
        """Delete a nested stack.

        Raises:
            ResourceFailure: it could not be deleted.
        """
        child = self._backend.find(stack_id)
        if child.gone:
            return
        self._backend.run_delete(child)
        if child.status != "DELETE_COMPLETE":
            raise ResourceFailure(f"Embedded stack {stack_id} was not successfully deleted: {child.reason}")

    def _request(self, url: str, parameters: dict[str, str], tags: dict[str, str]) -> Definition:
        body = self._backend.account().template_at(url)
        return Definition(
            body=body,
            parameters=parameters,
            tags={**self._definition.tags, **tags},
            capabilities=self._definition.capabilities,
            role_arn=self._definition.role_arn,
        )
