"""Overlays that do not what they seem to (kustomize, "replacements"): told of the file, before anything is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import Broken, Path, Rule, Surroundings, down

KIND = "Kustomization"
_SCRIPT = re.compile(r"\.containers\.[^.]+\.(?:args|command)\.\d+$")


def _destroys(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, source, target in _targets(value):
        if "delimiter" in (target.get("options") or {}):
            continue
        for number, field in enumerate(target.get("fieldPaths") or ()):
            if _SCRIPT.search(str(field)):
                where = str(field).rpartition(".containers.")[2].partition(".")[2]
                why = f"{source} takes the place of {where}: of the whole script, not of a word in it"
                yield (*path, "fieldPaths", number), why, "a variable in env: pcinfra render JOB.yaml --to kustomize"


def _unused(value: Mapping[str, Any], around: Surroundings) -> Broken:
    replacements = list(value.get("replacements") or ())
    if not replacements:
        return
    used = {str(down(each, "source", "fieldPath") or "") for each in replacements if isinstance(each, Mapping)}
    for number, generator in enumerate(value.get("configMapGenerator") or ()):
        for index, literal in enumerate(down(generator, "literals") or ()):
            name = str(literal).partition("=")[0]
            if f"data.{name}" not in used:
                why = f"{name} is used by no replacement"
                yield ("configMapGenerator", number, "literals", index), why, "a replacement for it, or remove it"


def _targets(value: Mapping[str, Any]) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    for number, each in enumerate(value.get("replacements") or ()):
        source = str(down(each, "source", "fieldPath") or "a value").removeprefix("data.")
        for index, target in enumerate(down(each, "targets") or ()):
            if isinstance(target, Mapping):
                yield ("replacements", number, "targets", index), source, target


_SOURCE = "kustomize, replacements"
RULES = (
    Rule("destroys", (KIND,), _SOURCE, "bash: no such file: exit code 127, again and again", _destroys),
    Rule("unused", (KIND,), _SOURCE, "its value changes nothing: the job runs with what the base says", _unused),
)
