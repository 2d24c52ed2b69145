"""Parameters of a kustomize overlay: ``params.env`` beside its kustomization, or ``literals`` in it.

kustomize itself can add a ConfigMap (``edit add configmap``), but not change a value in one; the file is small enough
to change in place, comments and order kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pcinfra.errors import NotFound, UsageError
from pcinfra.jobs.kubernetes.render.kustomize import PARAMS

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LINE = re.compile(
    r"(?m)^(?P<before>\s*(?:-\s*)?[\"']?)(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>[^\n\"']*)(?P<after>[\"']?)$"
)
_NUMBERS = re.compile(r"NUM_[A-Z]+|.*_(?:COUNT|REPLICAS|NODES|WORKERS)")
_INSTANCE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_URL = re.compile(r"(https?|ssh|git)://\S+|[\w.-]+@[\w.-]+:\S+")


def read(folder: Path) -> dict[str, str]:
    """Return the parameters of the overlay in ``folder``.

    Raises:
        NotFound: there is no overlay, or it has no parameters.
    """
    file = _file(folder)
    return {match["name"]: match["value"].strip() for match in _LINE.finditer(file.read_text())}


def change(folder: Path, values: Mapping[str, str]) -> Path:
    """Set parameters that the overlay has already, and return the file that holds them.

    Raises:
        NotFound: there is no overlay, or it has no parameters.
        UsageError: it has no such parameter, or the value is not what it takes.
    """
    file, known = _file(folder), read(folder)
    for name, value in values.items():
        if name not in known:
            raise UsageError("is no parameter of this overlay", where=name, hint=" ".join(known) or "none")
        why = _wrong(name, value)
        if why:
            raise UsageError(why, where=f"{name}={value}", hint=f"{name}={known[name]}")

    def line(match: re.Match[str]) -> str:
        value = values.get(match["name"], match["value"])
        return f"{match['before']}{match['name']}={value}{match['after']}"

    file.write_text(_LINE.sub(line, file.read_text()))
    return file


def _file(folder: Path) -> Path:
    kustomization = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if kustomization is None:
        hint = "pcinfra k8s params list --dir kustomize/overlays/custom-url"
        raise NotFound("there is no kustomization.yaml", where=str(folder), hint=hint)
    if (folder / PARAMS).is_file():
        return folder / PARAMS
    if _LINE.search(kustomization.read_text()):
        return kustomization
    raise NotFound("has no parameters: neither params.env nor literals", where=str(kustomization))


def _wrong(name: str, value: str) -> str:
    """Return why ``value`` cannot be the value of ``name``; empty when it can."""
    if re.search(r"[\n\r\0\"']", value) or value != value.strip():
        return "must be one line, without quotes and blanks around it"
    if _NUMBERS.fullmatch(name) and not re.fullmatch(r"[1-9][0-9]{0,4}", value):
        return "must be a whole number, 1 or more"
    if name == "INSTANCE_TYPE" and not _INSTANCE.fullmatch(value):
        return "is no instance type"
    if name.endswith("_URL") and not _URL.fullmatch(value):
        return "is no URL: git would take it for a folder"
    return ""
