"""Builder *buildah*: needs no daemon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pcinfra.images.ignore import ignoring

if TYPE_CHECKING:
    from pcinfra.shell import Shell


@dataclass(frozen=True)
class Buildah:
    """buildah's command line."""

    name: ClassVar[str] = "buildah"

    def storage(self, shell: Shell) -> str:
        try:
            return str(json.loads(shell.run(["buildah", "info"]).stdout)["store"]["GraphRoot"])
        except (ValueError, KeyError, TypeError):
            return ""

    def exists(self, image: str) -> list[str]:
        return ["buildah", "inspect", "--type=image", image]

    def build(self, names: tuple[str, ...], path: Path) -> list[str]:
        return ["buildah", "build", *ignoring(path), *(f"--tag={name}" for name in names), str(path)]

    def login(self, registry: str, user: str, private: Path) -> list[str]:
        return ["buildah", "login", f"--authfile={private / 'auth'}", "--username", user, "--password-stdin", registry]

    def push(self, image: str, private: Path) -> list[str]:
        return ["buildah", "push", f"--authfile={private / 'auth'}", image]

    def environment(self, shell: Shell) -> dict[str, str]:
        return {}
