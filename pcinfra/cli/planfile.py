"""``plan --out FILE`` and ``up FILE``: a plan that was looked at is carried out as it is, or not at all.

The file is JSON: the plan as ``plan --output json`` prints it, where it was made, what was selected, and a digest of
every change with everything that it would write. It is never carried out itself: ``up FILE`` plans again and compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcinfra.cli.selection import Selection
from pcinfra.errors import InputError, Problem, Refused

if TYPE_CHECKING:
    from pcinfra.engine import Plan
    from pcinfra.project import Project
    from pcinfra.stages import Facts

FORMAT = 1


def as_json(wanted: Plan) -> dict[str, Any]:
    """Return ``wanted`` as plain data: actions (id, kind, what, why, after, loses, seconds, changes) and notes."""
    return {
        "actions": [
            {
                "id": action.id,
                "kind": action.kind.value,
                "what": action.what,
                "why": action.why,
                "after": sorted(wanted.waits_for(action.id)),
                "loses": action.loses,
                "seconds": action.seconds,
                "changes": [{"key": c.key, "before": c.before, "after": c.after} for c in action.changes],
            }
            for action in wanted.actions
        ],
        "notes": list(wanted.notes),
        "seconds": wanted.critical_path(),
    }


def digest(wanted: Plan, project: Project, facts: Facts) -> str:
    """Return the SHA-256 of what would be done where: account, project, and every Action with all that it writes."""
    operations = [repr(action.operation) for action in wanted.actions]
    place = [facts.account, facts.region, project.model_dump_json()]
    text = json.dumps([place, as_json(wanted)["actions"], operations], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, wanted: Plan, project: Project, facts: Facts, selection: Selection) -> None:
    """Write the plan to ``path``."""
    content = {
        "format": FORMAT,
        "project": project.project,
        "account": facts.account,
        "region": facts.region,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "only": selection.only,
        "skip": selection.skip,
        "digest": digest(wanted, project, facts),
        "plan": as_json(wanted),
    }
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot be written: {error.strerror}", where=str(path), hint="another --out FILE") from error


def read(path: Path) -> Mapping[str, Any]:
    """Return the content of a plan file.

    Raises:
        InputError: it is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _bad(path, f"is not a plan file: {error}") from error
    if not _is_plan(content):
        raise _bad(path, "is not a plan file of this version of pcinfra")
    return dict(content)


def _is_plan(content: Any) -> bool:
    texts = ("project", "account", "region", "made", "digest")
    return (
        isinstance(content, dict)
        and content.get("format") == FORMAT
        and all(isinstance(content.get(key), str) for key in texts)
        and all(_are_texts(content.get(key)) for key in ("only", "skip"))
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _bad(path: Path, why: str) -> InputError:
    return InputError([Problem(str(path), 0, 0, "", why, "pcinfra plan --out FILE writes one")])


def selection_of(content: Mapping[str, Any]) -> Selection:
    """Return what was selected when the plan was made."""
    return Selection(tuple(content["only"]), tuple(content["skip"]))


def compare(path: Path, content: Mapping[str, Any], wanted: Plan, project: Project, facts: Facts) -> None:
    """Return if ``wanted`` is the plan in the file.

    Raises:
        Refused: the account, the project or the files on this machine have changed since; says which Actions differ.
    """
    here = {"project": project.project, "account": facts.account, "region": facts.region}
    for key, value in here.items():
        if content[key] != value:
            raise Refused(f"was made for the {key} {content[key]!r}, and this is {value!r}", where=str(path))
    if content["digest"] != digest(wanted, project, facts):
        raise Refused(
            f"something has changed since {content['made']}: {_difference(content, wanted)}", where=str(path),
            hint=f"pcinfra plan --out {path}   (look at it, then pcinfra up {path})",
        )  # fmt: skip


def _difference(content: Mapping[str, Any], wanted: Plan) -> str:
    try:
        before = {row["id"]: f"{row['kind']} {row['what']}" for row in content["plan"]["actions"]}
    except (KeyError, TypeError):
        return "the plan in the file was edited"
    now = {action.id: f"{action.kind} {action.what}" for action in wanted.actions}
    more = [f"now also: {text}" for key, text in now.items() if before.get(key) != text]
    less = [f"not any more: {text}" for key, text in before.items() if now.get(key) != text]
    return "; ".join(more + less) or "the same actions would write something else"
