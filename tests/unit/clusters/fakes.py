"""A Shell and a Cloud that answer from lists and note what they were asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pcinfra.cloudformation import Stack
from pcinfra.clusters import program
from pcinfra.errors import CloudError
from pcinfra.shell import Completed


@dataclass
class FakeShell:
    """Answers every command with the next of ``answers``: exit status and what it prints (JSON unless text).

    A question to pcluster is noted as the command that it stands for.
    """

    answers: list[tuple[int, Any]] = field(default_factory=list)
    programs: tuple[str, ...] = ("node",)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    stdins: list[str] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)
    begun: list[tuple[str, ...]] = field(default_factory=list)

    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> Completed:
        command, environment = tuple(argv), env or {}
        if command[:3] == program.COMMAND:
            arguments, environment, stdin = program.asked(stdin)
            command = ("pcluster", *arguments)
        self.commands.append(command)
        self.stdins.append(stdin)
        self.environments.append(environment)
        status, answer = self.answers.pop(0)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return Completed(tuple(argv), status, text, "")

    def begin(self, argv: Sequence[str], *, env: Mapping[str, str]) -> None:
        self.begun.append(tuple(argv))

    def stream(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Completed:
        return self.run(argv, env=env, cwd=cwd)


@dataclass
class FakeCloud:
    """Answers each operation from ``answers``: a value, or a function of the parameters. Notes the calls."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    region: str = "us-east-1"
    account: str = "123456789012"
    calls: list[str] = field(default_factory=list)

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        self.calls.append(operation)
        answer = self.answers[operation]
        result: dict[str, Any] = answer(parameters) if callable(answer) else answer
        return result

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        return list(self.call(service, operation, **parameters)[key])


def no_such_stack(_: Mapping[str, Any]) -> dict[str, Any]:
    raise CloudError("Stack with id x does not exist", code="ValidationError")


def stack(name: str = "train", status: str = "CREATE_COMPLETE", **values: Any) -> Stack:
    """Return the stack of a cluster of the project ``training``."""
    tags = {"parallelcluster:cluster-name": name, "pcinfra:project": "training"}
    given = {"tags": tags, "reason": "", "outputs": {}, "parameters": {}, **values}
    return Stack(name=name, id=f"arn:{name}", status=status, **given)


def answer(name: str = "train", status: str = "CREATE_COMPLETE", **tags: str) -> dict[str, Any]:
    """Return an element of DescribeStacks' answer."""
    return {
        "StackName": name,
        "StackId": f"arn:{name}",
        "StackStatus": status,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def event(resource: str, status: str, reason: str = "", kind: str = "AWS::EC2::Instance", physical: str = "") -> Any:
    """Return an element of DescribeStackEvents' answer."""
    return {
        "LogicalResourceId": resource,
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "PhysicalResourceId": physical,
    }
