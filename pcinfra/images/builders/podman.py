"""Builder *podman*."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pcinfra.images.ignore import ignoring

if TYPE_CHECKING:
    from pcinfra.shell import Shell


@dataclass(frozen=True)
class Podman:
    """podman's command line."""

    name: ClassVar[str] = "podman"

    def storage(self, shell: Shell) -> str:
        return shell.run(["podman", "info", "--format", "{{.Store.GraphRoot}}"]).stdout.strip()

    def exists(self, image: str) -> list[str]:
        return ["podman", "image", "exists", image]

    def build(self, names: tuple[str, ...], path: Path) -> list[str]:
        return ["podman", "build", *ignoring(path), *(f"--tag={name}" for name in names), str(path)]

    def login(self, registry: str, user: str, private: Path) -> list[str]:
        return ["podman", "login", f"--authfile={private / 'auth'}", "--username", user, "--password-stdin", registry]

    def push(self, image: str, private: Path) -> list[str]:
        return ["podman", "push", f"--authfile={private / 'auth'}", image]

    def environment(self, shell: Shell) -> dict[str, str]:
        return {}
