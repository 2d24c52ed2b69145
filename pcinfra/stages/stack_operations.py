"""What the stage *prerequisites* does to CloudFormation: the operations of its Actions."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra import cloudformation as cfn
from pcinfra.cloudformation import Condition, Stack, StackProbe
from pcinfra.engine import Pending
from pcinfra.errors import CloudError, Refused, ResourceFailed

if TYPE_CHECKING:
    from pcinfra.doors import Doors

DIGEST_TAG = "pcinfra:digest"
CHANGES = "prerequisites/changes"
_STORAGE = ("AWS::FSx::FileSystem", "AWS::FSx::Volume")
_AGAIN = "mend the cause, then: pcinfra up"


@dataclass(frozen=True, slots=True)
class WantedStack:
    """The stack that the project asks for."""

    name: str
    template: str
    parameters: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """A digest of all of it; kept as a tag of the stack, so that one call tells whether it is up to date."""
        text = repr((self.template, self.parameters, self.tags))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def request(self) -> dict[str, Any]:
        """Return what CreateStack and CreateChangeSet take in common."""
        tags = (*self.tags, (DIGEST_TAG, self.digest))
        return {
            "StackName": self.name,
            "TemplateBody": self.template,
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters],
            "Tags": [{"Key": k, "Value": v} for k, v in tags],
            "Capabilities": ["CAPABILITY_IAM"],  # it has a policy, which carries no name of its own
        }


@dataclass(frozen=True, slots=True)
class CreateStack:
    """Create the stack, or go on with one that another run has just begun. The result is the Stack."""

    wanted: WantedStack

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        name = self.wanted.name
        try:
            answer = doors.cloud.call(
                "cloudformation", "CreateStack", **self.wanted.request(),
                ClientRequestToken=f"pcinfra-{uuid.uuid4()}", OnFailure="ROLLBACK",
            )  # fmt: skip
            stack_id: str = answer["StackId"]
        except CloudError as error:
            stack = cfn.find(doors.cloud, name) if error.code == "AlreadyExistsException" else None
            if stack is None or stack.tags.get(DIGEST_TAG) != self.wanted.digest:
                raise
            stack_id = stack.id
        return Pending(StackProbe(), stack_id, cfn.until_ready(name, _AGAIN), cfn.progress)


@dataclass(frozen=True, slots=True)
class WaitForStack:
    """Wait until nobody is changing the stack. The result is the Stack."""

    stack_id: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        name = self.stack_id.split("/")[1] if "/" in self.stack_id else self.stack_id
        return Pending(StackProbe(), self.stack_id, cfn.until_ready(name, _AGAIN), cfn.progress)


@dataclass(frozen=True, slots=True)
class CreateChangeSet:
    """Ask CloudFormation what an update would change. The result is the answer of DescribeChangeSet."""

    wanted: WantedStack

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        name = f"pcinfra-{self.wanted.digest}"
        try:
            doors.cloud.call("cloudformation", "CreateChangeSet", **self.wanted.request(), ChangeSetName=name)
        except CloudError as error:
            if error.code != "AlreadyExistsException":  # an earlier run made it and did not come to execute it
                raise
        return Pending(ChangeSetProbe(self.wanted.name), name, _until_made)


@dataclass(frozen=True, slots=True)
class ChangeSetProbe:
    """Reads change sets of one stack by name."""

    stack: str

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Any]:
        call = doors.cloud.call
        return {
            key: call("cloudformation", "DescribeChangeSet", StackName=self.stack, ChangeSetName=key) for key in keys
        }


def _until_made(change_set: dict[str, Any]) -> tuple[dict[str, Any]] | None:
    if change_set["Status"] in ("CREATE_COMPLETE", "FAILED"):
        return (change_set,)
    return None


@dataclass(frozen=True, slots=True)
class UpdateStack:
    """Execute the change set. The result is the Stack.

    Raises:
        Refused: it would replace a file system, and the plan did not say so.
    """

    wanted: WantedStack
    stack_id: str
    may_replace: bool

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Any:
        change_set = results[CHANGES]
        by_name = {"StackName": self.wanted.name, "ChangeSetName": change_set["ChangeSetName"]}
        refusal = self._refusal(change_set)
        if refusal:
            doors.cloud.call("cloudformation", "DeleteChangeSet", **by_name)
            raise refusal
        try:
            doors.cloud.call("cloudformation", "ExecuteChangeSet", **by_name)
        except CloudError as error:
            if error.code != "InvalidChangeSetStatus":  # another run has just executed it
                raise
        return Pending(StackProbe(), self.stack_id, cfn.until_ready(self.wanted.name, _AGAIN), cfn.progress)

    def _refusal(self, change_set: dict[str, Any]) -> Exception | None:
        where = f"stack {self.wanted.name}"
        if change_set["Status"] == "FAILED":
            return ResourceFailed(f"change set: {change_set.get('StatusReason', '')}", where=where)
        changes = [change["ResourceChange"] for change in change_set.get("Changes", [])]
        lost = [c["LogicalResourceId"] for c in changes if _loses(c)]
        if lost and not self.may_replace:
            return Refused(
                f"CloudFormation would replace or remove {', '.join(lost)} and lose what is on it", where=where,
                hint="undo the change in pcinfra.yaml, or copy the data away and use `pcinfra up --allow-replace`",
            )  # fmt: skip
        return None


def _loses(change: Mapping[str, Any]) -> bool:
    """Whether a change of a resource (CloudFormation API reference, ResourceChange) loses what is on it."""
    gone = change.get("Replacement") == "True" or change.get("Action") == "Remove"
    return gone and change["ResourceType"] in _STORAGE


@dataclass(frozen=True, slots=True)
class DeleteStack:
    """Delete the stack."""

    stack_id: str
    name: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        doors.cloud.call("cloudformation", "DeleteStack", StackName=self.stack_id)
        hint = f"see what is in the way: aws cloudformation describe-stack-events --stack-name {self.name}"
        return Pending(StackProbe(), self.stack_id, cfn.until_gone(self.name, hint), cfn.progress)


@dataclass(frozen=True, slots=True)
class ContinueRollback:
    """Continue the rollback of an update that failed. The result is the Stack."""

    stack_id: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        doors.cloud.call("cloudformation", "ContinueUpdateRollback", StackName=self.stack_id)
        return Pending(StackProbe(), self.stack_id, _until_rolled_back(self.stack_id), cfn.progress)


def _until_rolled_back(name: str) -> Callable[[cfn.StackState | None], tuple[Stack] | None]:
    def judge(state: cfn.StackState | None) -> tuple[Stack] | None:
        if state is None or state.stack.condition is Condition.BUSY:
            return None
        if state.stack.condition is Condition.READY:
            return (state.stack,)
        raise ResourceFailed(
            f"{state.stack.status}: {state.cause}", where=f"stack {name}",
            hint="aws cloudformation continue-update-rollback --resources-to-skip … (it names the resource above)",
        )  # fmt: skip

    return judge
