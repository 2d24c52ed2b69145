"""docs/troubleshooting.md quotes errors that exist, and has every one of the infrastructure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
VARIES = "…"

# Words of AWS and of pydantic's errors, which no string of ours holds.
OTHERS = {"pcinfra.yaml:12:5: …", "AccessDenied", "is not authorized to perform", "Rate exceeded", "Could not connect"}

# Whose errors the page must have: what a user of up, down, status, image and data meets.
COVERED = ("stages", "images", "transfer", "cli/up.py", "cli/down.py", "cli/image.py", "cli/planfile.py",
           "cli/selection.py", "cli/teardown.py", "cli/transferring.py", "engine/execute.py")  # fmt: skip
ERRORS = {"Refused", "NotFound", "MissingTool", "ResourceFailed", "UsageError", "CloudError", "Unreachable",
          "CredentialsError", "Interrupted", "PlanFailed"}  # fmt: skip


def template(node: ast.AST) -> str:
    """Return a string as it is written, with one mark for each part that varies; empty for what is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) if isinstance(part, ast.Constant) else VARIES for part in node.values)
    return ""


def fragments(text: str) -> list[str]:
    return [part for part in (piece.strip(" :;,") for piece in text.split(VARIES)) if part]


@cache
def sources() -> dict[str, ast.Module]:
    files = (path for path in (ROOT / "pcinfra").rglob("*.py") if "localcloud" not in path.parts)
    return {str(path.relative_to(ROOT / "pcinfra")): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def quoted() -> list[str]:
    """Return the messages of the page: what stands between backticks in the first cell of a row."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def raised() -> Iterator[tuple[str, str]]:
    """Yield place and message of every error of the covered files whose words are its own."""
    for file, tree in sources().items():
        if not file.startswith(COVERED):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
                continue
            name = ast.unparse(node.exc.func).rpartition(".")[2]
            message = template(node.exc.args[0])
            if name in ERRORS and any(len(part) > 3 for part in fragments(message)):
                yield f"{file}:{node.lineno}", message


@pytest.mark.parametrize("message", quoted())
def test_what_is_quoted_exists(message: str) -> None:
    if message in OTHERS:
        return
    parts = fragments(message)
    assert parts, "nothing but what varies"
    assert re.search("[^\0]*".join(map(re.escape, parts)), everything()), message


@cache
def everything() -> str:
    """Return every string of the product, and ``where: why`` of every error: the page quotes some by both."""
    texts = [found for tree in sources().values() for node in ast.walk(tree) if (found := template(node))]
    return "\0".join([*texts, *_places()])


def _places() -> list[str]:
    found = []
    for tree in sources().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                wheres = [template(word.value) for word in node.keywords if word.arg == "where"]
                found += [f"{where}: {template(node.args[0]) or VARIES}" for where in wheres if where]
    return found


@pytest.mark.parametrize(("place", "message"), list(raised()))
def test_every_error_of_the_infrastructure_is_there(place: str, message: str) -> None:
    longest = max(fragments(message), key=len)
    assert any(longest in fragments_of for fragments_of in quoted()), f"{place}: {message}"
