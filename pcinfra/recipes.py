"""Jobs that are ready to run. A new one is a folder below ``recipes/`` with a ``job.yaml``, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pcinfra import assets
from pcinfra.errors import UsageError


@dataclass(frozen=True, slots=True)
class Recipe:
    """A job file with what belongs to it.

    Args:
        summary: one line.
        needs: what the cluster must have; empty for nothing.
    """

    name: str
    summary: str
    needs: str = ""

    @property
    def folder(self) -> Path:
        return assets.folder("recipes") / self.name

    @property
    def job(self) -> Path:
        return self.folder / "job.yaml"

    @property
    def others(self) -> tuple[Path, ...]:
        """The files beside the job file."""
        return tuple(sorted(path for path in self.folder.iterdir() if path != self.job))


REGISTRY: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("hello", "Two nodes say their names."),
        Recipe("torchrun-ddp", "Train a small GPT with PyTorch; survives its nodes.", "Pyxis, or torch on the nodes"),
        Recipe("torchrun-small", "The same within minutes on two CPUs; kill a node meanwhile.", "torch on the nodes"),
        Recipe("deepspeed", "Train a language model with DeepSpeed; survives its nodes.", "Pyxis or deepspeed; GPUs"),
        Recipe("nccl-tests", "Measure all-reduce over every GPU of two nodes.", "Pyxis, GPUs; EFA to be fast"),
        Recipe("efa-check", "Look at EFA on two nodes, and send messages over it.", "EFA"),
    )
}


def find(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in REGISTRY:
        raise UsageError(f"there is no recipe {name!r}; there are {', '.join(REGISTRY)}", hint="pcinfra recipe list")
    return REGISTRY[name]
