"""The engine's state for one account and region, and the operations that change it.

Everything that outlives an operation can be pickled: stacks, events and change sets. Threads, locks and hooks are left
out; after unpickling, :meth:`Backend.resume` ends what the old process was in the middle of.
"""

from __future__ import annotations

import pickle
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from pcinfra.localcloud.cfn import changes, checks, parameters
from pcinfra.localcloud.cfn.account import Account
from pcinfra.localcloud.cfn.create import create, fail_creation
from pcinfra.localcloud.cfn.create import roll_back as roll_back_creation
from pcinfra.localcloud.cfn.delete import delete
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.hooks import Hooks, StackDeleted
from pcinfra.localcloud.cfn.model import ChangeSet, Definition, StackState
from pcinfra.localcloud.cfn.operation import Operation
from pcinfra.localcloud.cfn.template import load
from pcinfra.localcloud.cfn.update import refuse_type_changes, update
from pcinfra.localcloud.cfn.update import roll_back as roll_back_update

Values = dict[str, str | list[str]]

UPDATABLE = frozenset(
    [
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
        "CREATE_FAILED",
        "UPDATE_FAILED",
    ]
)
"""Source: CloudFormation user guide, "Stack status codes". ROLLBACK_COMPLETE can only be deleted."""


class _Runtime:
    """What an operation in flight needs and a pickle must not hold."""

    def __init__(self) -> None:
        self.turn = threading.RLock()
        self.cancel = threading.Event()


class Backend(BaseBackend):
    """All stacks of one account and region.

    ``version`` grows with every change of state; who keeps snapshots can compare it.
    """

    hooks: Hooks = Hooks()

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.stacks: dict[str, StackState] = {}
        self.change_sets: dict[str, ChangeSet] = {}
        self.tokens: dict[tuple[str, str], str] = {}
        self.version = 0
        self._before_delete: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self.guard = threading.RLock()
        self._runtimes: dict[str, _Runtime] = {}

    @property
    def _url_module(self) -> Any:
        return sys.modules["moto.cloudformation.urls"]

    def __getstate__(self) -> dict[str, Any]:
        with self.guard:
            kept = {key: value for key, value in self.__dict__.items() if key not in ("guard", "_runtimes")}
            return {"pickled": pickle.dumps(kept)}  # now, under the lock: threads go on changing the objects

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(pickle.loads(state["pickled"]))  # noqa: S301 - our own snapshot
        self._begin()

    def touch(self) -> None:
        """Note that something has changed."""
        with self.guard:
            self.version += 1
        self.hooks.mutated()

    # ---- finding -------------------------------------------------------------------------------------------------

    def account(self) -> Account:
        return Account(self.account_id, self.region_name)

    def live(self, name: str) -> StackState | None:
        """The stack of that name which is not deleted, if any."""
        with self.guard:
            return next((state for state in self.stacks.values() if state.name == name and not state.gone), None)

    def find(self, name_or_id: str, message: str = "Stack with id {} does not exist") -> StackState:
        """A stack by id (deleted ones too) or by name.

        Raises:
            CfnError: there is none.
        """
        found = self.stacks.get(name_or_id) or self.live(name_or_id)
        if found is None:
            raise CfnError(message.format(name_or_id))
        return found

    def all_stacks(self) -> list[StackState]:
        """Every stack, the newest first."""
        with self.guard:
            return list(reversed(self.stacks.values()))

    def exporter(self, name: str) -> StackState | None:
        """The stack that exports a name."""
        return next((state for state in self.all_stacks() if not state.gone and name in state.exports), None)

    def export_value(self, name: str) -> str | None:
        owner = self.exporter(name)
        return owner.exports[name] if owner is not None else None

    def importers(self, name: str) -> list[str]:
        """Names of the stacks that import an export."""
        return sorted(state.name for state in self.all_stacks() if not state.gone and name in state.imports)

    # ---- beginning -----------------------------------------------------------------------------------------------

    def prepare(self, definition: Definition) -> Values:
        """Check a definition as CreateStack and UpdateStack do, and resolve its parameters.

        Raises:
            CfnError: it is refused; nothing has been changed.
        """
        template = load(definition.body)
        checks.check(template, self.region_name)
        checks.check_capabilities(template, definition.capabilities)
        values = parameters.resolve(template.parameters, definition.parameters, self.account())
        checks.check_rules(template, values)
        return values

    def new_stack(
        self,
        name: str,
        definition: Definition,
        *,
        parent: StackState | None = None,
        on_failure: str = "ROLLBACK",
        disable_rollback: bool = False,
        status: str = "CREATE_IN_PROGRESS",
    ) -> StackState:
        """Check a definition and register a stack for it; nothing is made yet.

        Raises:
            CfnError: the definition is refused, or a stack of that name exists.
        """
        values = self.prepare(definition)
        with self.guard:
            if self.live(name) is not None:
                raise CfnError(f"Stack [{name}] already exists", code="AlreadyExistsException")
            stack_id = f"arn:aws:cloudformation:{self.region_name}:{self.account_id}:stack/{name}/{uuid.uuid4()}"
            state = StackState(
                name=name,
                stack_id=stack_id,
                account=self.account_id,
                region=self.region_name,
                definition=definition,
                on_failure=on_failure,
                disable_rollback=disable_rollback,
                parent_id=parent.stack_id if parent else None,
                root_id=(parent.root_id or parent.stack_id) if parent else None,
                status=status,
                resolved=values,
            )
            self.stacks[stack_id] = state
        self.touch()
        return state

    def background(self, work: Callable[[], None], name: str) -> None:
        """Run an operation in a thread of its own; API calls never wait for it."""
        threading.Thread(target=work, name=f"cfn-stack-{name}", daemon=True).start()

    def _runtime(self, state: StackState) -> _Runtime:
        with self.guard:
            return self._runtimes.setdefault(state.stack_id, _Runtime())

    def _operate(
        self,
        state: StackState,
        work: Callable[[Operation], None],
        *,
        definition: Definition | None = None,
        values: Values | None = None,
    ) -> None:
        """Do one operation, after whatever is still running on the stack; a crash ends in a failed state."""
        runtime = self._runtime(state)
        with runtime.turn:
            operation = Operation(
                self,
                state,
                definition or state.definition,
                values if values is not None else state.resolved,
                runtime.cancel,
            )
            try:
                work(operation)
            except Exception as error:
                verb = state.status.split("_IN_PROGRESS")[0].removesuffix("_COMPLETE_CLEANUP")
                operation.record(f"{verb}_FAILED", f"Internal Failure: {type(error).__name__}: {error}")
            finally:
                runtime.cancel.clear()

    def cancel(self, state: StackState) -> None:
        """Ask the operation in flight to start nothing new and give up."""
        self._runtime(state).cancel.set()

    # ---- operations, each to be run in the foreground or through background() ---------------------------------------

    def run_create(self, state: StackState) -> None:
        """Make a registered stack, unless its deletion was asked for meanwhile."""

        def work(operation: Operation) -> None:
            if state.status == "CREATE_IN_PROGRESS":
                create(operation)

        self._operate(state, work)

    def begin_delete(self, state: StackState) -> None:
        """Mark a stack as being deleted and give up the creation that may be under way."""
        with self.guard:
            previous, state.status = state.status, "DELETE_IN_PROGRESS"
            self._before_delete[state.stack_id] = previous
        if previous == "CREATE_IN_PROGRESS":
            self.cancel(state)
        self.touch()

    def run_delete(self, state: StackState) -> None:
        """Delete a stack."""
        if state.status != "DELETE_IN_PROGRESS":
            self.begin_delete(state)
        previous = self._before_delete.pop(state.stack_id, "CREATE_COMPLETE")
        self._operate(state, lambda operation: delete(operation, previous))

    def start_update(self, state: StackState, definition: Definition) -> Values:
        """Check an update and mark the stack as being updated.

        Raises:
            CfnError: refused, or "No updates are to be performed."
        """
        values = self.prepare(definition)
        self._check_updatable(state)
        refuse_type_changes(state.resources, load(definition.body).resources)
        if not changes.any_change(self, state, definition, values):
            raise CfnError("No updates are to be performed.")
        with self.guard:
            self._check_updatable(state)  # again: another update may have begun meanwhile
            state.status = "UPDATE_IN_PROGRESS"
        return values

    @staticmethod
    def _check_updatable(state: StackState) -> None:
        if state.status not in UPDATABLE:
            raise CfnError(f"Stack:{state.stack_id} is in {state.status} state and can not be updated.")

    def run_update(self, state: StackState, definition: Definition) -> None:
        """Check and carry out an update, and return when it is done."""
        values = self.start_update(state, definition)
        self.finish_update(state, definition, values)

    def finish_update(
        self, state: StackState, definition: Definition, values: Values, *, disable_rollback: bool = False
    ) -> None:
        """Carry out an update that :meth:`start_update` let pass."""
        self._operate(
            state,
            lambda operation: update(operation, disable_rollback=disable_rollback),
            definition=definition,
            values=values,
        )

    def run_update_rollback(self, state: StackState, reason: str | None, skip: tuple[str, ...] = ()) -> None:
        """Take an update back (ContinueUpdateRollback, RollbackStack, or after a restart)."""

        def work(operation: Operation) -> None:
            if state.journal is not None:
                state.journal.skip = skip
            roll_back_update(operation, reason)

        self._operate(state, work)

    def run_creation_rollback(self, state: StackState, reason: str) -> None:
        """Take a failed creation back (RollbackStack, or after a restart)."""
        self._operate(state, lambda operation: roll_back_creation(operation, reason))

    def announce_deleted(self, state: StackState) -> None:
        """Tell the rest of the local cloud that a stack is gone."""
        self.hooks.stack_deleted(StackDeleted(state.name, state.stack_id, state.account, state.region))

    # ---- after a restart -------------------------------------------------------------------------------------------

    def resume(self) -> list[threading.Thread]:
        """End the operations that the previous process was in the middle of; call it once after unpickling.

        A creation fails with "Internal Failure" and does what its OnFailure says; an update is rolled back from its
        journal; deletions, rollbacks and clean-ups begin again, which is safe because each step looks at what is
        still there. Resources that were in flight without a physical id are lost to the stack, as on AWS when a
        handler dies. Nested stacks end before their parents. Returns the threads that do it.
        """
        threads = []
        for state in self.all_stacks():
            if (
                state.status.endswith("_IN_PROGRESS")
                and state.parent_id is None
                and state.status != "REVIEW_IN_PROGRESS"
            ):
                thread = threading.Thread(target=self._resume_one, args=(state,), name="cfn-resume", daemon=True)
                thread.start()
                threads.append(thread)
        return threads

    def _resume_one(self, state: StackState) -> None:
        lost = "Internal Failure: the local cloud was stopped during the operation. "
        for child in self.all_stacks():
            if child.parent_id == state.stack_id and child.status.endswith("_IN_PROGRESS"):
                self._resume_one(child)
        self._fail_in_flight(state)
        if state.status == "CREATE_IN_PROGRESS":
            self._operate(state, lambda operation: fail_creation(operation, lost))
        elif state.status == "ROLLBACK_IN_PROGRESS":
            self.run_creation_rollback(state, lost)
        elif state.status == "DELETE_IN_PROGRESS":
            self.run_delete(state)
        elif state.journal is not None:
            self.run_update_rollback(state, lost)
        else:
            self._operate(state, lambda operation: operation.record("UPDATE_COMPLETE", lost))

    def _fail_in_flight(self, state: StackState) -> None:
        """Mark what was being worked on."""
        with self.guard:
            for resource in state.resources.values():
                if resource.status.endswith("_IN_PROGRESS"):
                    state.record(resource.status.replace("_IN_PROGRESS", "_FAILED"), "Internal Failure", resource)


backends = BackendDict(Backend, "cloudformation")
