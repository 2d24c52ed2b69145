"""Every field of a job file as a flag of the command line, made from the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

from pcinfra.errors import UsageError
from pcinfra.jobs.spec import After, JobSpec, Mount
from pcinfra.project import shape
from pcinfra.project.document import KeyPath

Kind = Literal["text", "number", "switch", "values", "lists", "sections"]

_WORDS = ("command", "args")  # what stands after -- on the command line
_SECTIONS: Mapping[Any, tuple[str, ...]] = {Mount: ("source", "target", "read_only"), After: ("run", "when")}
_SHORT = {"environment": "-e", "nodes": "-N", "gpus": "-G"}


@dataclass(frozen=True, slots=True)
class Flag:
    """One field's flag.

    Args:
        path: of the field.
        choices: the only words that it takes; empty: any.
        form: how its value is written.
    """

    path: KeyPath
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()
    form: str = ""

    @property
    def name(self) -> str:
        return "--" + "-".join(str(step).replace("_", "-") for step in self.path)

    @property
    def parameter(self) -> str:
        return "_".join(map(str, self.path))

    @property
    def short(self) -> str:
        return _SHORT.get(str(self.path[0]), "") if len(self.path) == 1 else ""


def flags(path: KeyPath = ()) -> Iterator[Flag]:
    """Yield the flags of the fields below ``path``, in the order of the job file."""
    for section in shape.sections(shape.types_at(JobSpec, path)):
        for name, field in section.model_fields.items():
            here = (*path, name)
            if here[0] in _WORDS:
                continue
            if shape.sections(shape.types_at(JobSpec, here)):
                yield from flags(here)
            else:
                flag = _flag(here, field)
                if flag:
                    yield flag


def _flag(path: KeyPath, field: FieldInfo) -> Flag | None:
    kinds = shape.types_at(JobSpec, path)
    text = field.description or ""
    inner = shape.sections(shape.types_at(JobSpec, (*path, 0)))
    if inner:
        return Flag(path, "sections", text, form=_form(inner[0])) if inner[0] in _SECTIONS else None
    if shape.types_at(JobSpec, (*path, "A", 0)):
        return Flag(path, "lists", f"{text} Once for each value.", form="NAME=VALUE")
    if shape.types_at(JobSpec, (*path, "A")):
        return Flag(path, "values", text, form="NAME=VALUE")
    if bool in kinds:
        return Flag(path, "switch", text)
    if int in kinds:
        return Flag(path, "number", text, form="N")
    choices = tuple(str(choice) for choice in shape.choices_at(JobSpec, path))
    if choices or str in kinds:
        return Flag(path, "text", text, choices, "" if choices else str(path[-1]).upper())
    return None


def _form(section: Any) -> str:
    first, *rest = _SECTIONS[section]
    return (
        first.upper() + "".join(f"[:{'ro' if name == 'read_only' else name.upper()}" for name in rest) + "]" * len(rest)
    )


def values(given: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any, str]]:
    """Yield path, value and flag of what was said on the command line.

    Args:
        given: by :attr:`Flag.parameter`; None, or empty, where nothing was said.

    Raises:
        UsageError: a value is not written in its form.
    """
    for flag in flags():
        value = given.get(flag.parameter)
        if value is None or value == ():
            continue
        if flag.kind == "values":
            pairs = [_pair(flag, each) for each in value]
            yield from (((*flag.path, name), text, flag.name) for name, text in pairs)
        elif flag.kind == "lists":
            yield from _lists(flag, value)
        elif flag.kind == "sections":
            yield flag.path, [_section(flag, each) for each in value], flag.name
        else:
            yield flag.path, value, flag.name


def _pair(flag: Flag, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError("must be NAME=VALUE", where=f"{flag.name} {text}", hint=f"{flag.name} {name}=...")
    return name, value


def _lists(flag: Flag, texts: Sequence[str]) -> Iterator[tuple[KeyPath, Any, str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        name, value = _pair(flag, text)
        found.setdefault(name, []).append(value)
    yield from (((*flag.path, name), several, flag.name) for name, several in found.items())


def _section(flag: Flag, text: str) -> dict[str, Any]:
    """Return ``SOURCE:TARGET:ro`` or ``RUN:WHEN`` as the mapping that it stands for."""
    if flag.path == ("mounts",):
        words = text.split(":")
        read_only = words[-1] == "ro" and len(words) > 1
        words = words[:-1] if read_only else words
        if len(words) > 2:
            raise UsageError("must be SOURCE[:TARGET[:ro]]", where=f"--mounts {text}", hint="--mounts /data:/data:ro")
        return {**dict(zip(("source", "target"), words, strict=False)), **({"read_only": True} if read_only else {})}
    run, colon, when = text.partition(":")
    return {"run": run, **({"when": when} if colon else {})}
