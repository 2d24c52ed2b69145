"""What docker, podman and buildah have in common: build, log in, push, and leave no credentials behind."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from pcinfra.engine import Action, Kind
from pcinfra.errors import CommandFailed, MissingTool, Refused
from pcinfra.images import context
from pcinfra.images.model import IMAGE, REPOSITORY, Order

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.shell import Shell

PATIENCE = 20.0
"""Seconds that an engine may take to say that it runs."""


class Program(Protocol):
    """The command line of one engine."""

    @property
    def name(self) -> str: ...

    def storage(self, shell: Shell) -> str:
        """Return the folder that it keeps layers in; empty when that is not known."""
        ...

    def exists(self, image: str) -> list[str]:
        """Return the command that ends with status 0 when it has ``image``."""
        ...

    def build(self, names: tuple[str, ...], path: Path) -> list[str]: ...

    def login(self, registry: str, user: str, private: Path) -> list[str]:
        """Return the command that takes a password on standard input and keeps it below ``private`` only."""
        ...

    def push(self, image: str, private: Path) -> list[str]: ...

    def environment(self, shell: Shell) -> dict[str, str]:
        """Return variables that log in and push need besides ours."""
        ...


@dataclass(frozen=True)
class Engine:
    """The Builder around a :class:`Program`."""

    program: Program
    here: bool = True

    @property
    def name(self) -> str:
        return self.program.name

    def why_not(self, doors: Doors) -> str:
        if not doors.shell.which(self.name):
            return f"{self.name} is not installed"
        try:
            done = doors.shell.run([self.name, "info"], timeout=PATIENCE)
        except CommandFailed as error:
            return f"`{self.name} info`: {error.why}"
        lines = (done.stderr or done.stdout).strip().splitlines()
        return "" if not done.status else f"`{self.name} info`: {lines[-1] if lines else done.status}"

    def build(self, order: Order, why: str) -> tuple[Action, ...]:
        return (Action(IMAGE + order.name, Kind.RUN, f"build {order.what}", why, Build(self, order), seconds=900.0),)

    def publish(self, order: Order, why: str) -> tuple[Action, ...]:
        push, there = BuildAndPush(self, order), frozenset({REPOSITORY + order.name})
        return (Action(IMAGE + order.name, Kind.CREATE, order.what, why, push, there, seconds=1200.0),)


@dataclass(frozen=True)
class Build:
    """Build the image under all its names, unless the engine has it already."""

    engine: Engine
    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        why = self.engine.why_not(doors)
        if why:
            where = f"builder {self.engine.name} of image {self.order.name}"
            raise MissingTool(why, where=where, hint="pcinfra image push --builder auto")
        program, names = self.engine.program, self.order.names
        if all(doors.shell.run(program.exists(name)).status == 0 for name in names):
            return
        check_space(program.storage(doors.shell), self.order.space)
        doors.shell.stream(program.build(names, context.folder(self.order.context))).check()


@dataclass(frozen=True)
class BuildAndPush:
    """Build the image and push it under each of its tags."""

    engine: Engine
    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        Build(self.engine, self.order).start(doors, results)
        program = self.engine.program
        with TemporaryDirectory(prefix="pcinfra-login-") as private:  # mkdtemp makes it 0700
            folder = Path(private)
            env = {**os.environ, **program.environment(doors.shell)}
            user, password = password_of(doors.cloud)
            login = program.login(self.order.registry, user, folder)
            doors.shell.run(login, stdin=password, env=env).check()
            for name in self.order.names:
                doors.shell.stream(program.push(name, folder), env=env).check()


def password_of(cloud: Cloud) -> tuple[str, str]:
    """Return user and password of ECR, good for 12 hours (ECR API reference, GetAuthorizationToken)."""
    token = cloud.call("ecr", "GetAuthorizationToken")["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return user, password


def check_space(folder: str, wanted: int) -> None:
    """Refuse when fewer than ``wanted`` GB are free where layers are kept.

    A folder that cannot be seen from here is that of an engine in a virtual machine or elsewhere: not ours to check.
    """
    try:
        free = shutil.disk_usage(folder).free / 1e9
    except OSError:
        return
    if free < wanted:
        raise Refused(
            f"{free:.1f} GB are free in {folder}, and the image takes {wanted} GB to build", where="disk space",
            hint="free some, set disk_space of the image in pcinfra.yaml, or: pcinfra image push --builder codebuild",
        )  # fmt: skip
