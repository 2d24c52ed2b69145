"""The direction of imports (docs/architecture.md): always forward, and heavy libraries never at start-up."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "pcinfra"

# A module may import those of a lower floor, or of its own room. Rooms on one floor do not know each other.
FLOORS = {
    "errors": 0, "engine.model": 0, "assets": 0, "resume": 0,
    "shell": 1, "aws": 1, "doors": 2, "sessions": 3, "catalog": 1, "catalog_rows": 1, "interconnect": 2, "recipes": 1,
    "engine": 1, "stacks": 1, "project": 2, "cloudformation": 3, "transfer": 3, "ui": 3, "images": 3,
    "stages": 4, "clusters": 4, "jobs": 4, "prices": 4, "iam_policy": 4,
    "costs": 5, "doctor": 5, "spending": 6,
    "cli": 7, "localcloud": 7, "api": 8,
}  # fmt: skip

# Pure rooms: they take values and give values.
PURE = ("stacks", "project", "engine", "catalog", "catalog_rows", "interconnect", "errors", "assets")

# What a command may cost at start-up: nothing of these.
HEAVY = ("websockets", "boto3", "botocore", "troposphere", "pcluster", "moto", "rich", "pydantic", "yaml", "jinja2")


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    return "engine.model" if module == "engine.model" else module.partition(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Yield what ``path`` imports of ours, without the leading ``pcinfra.``; type-checking imports do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pcinfra":
            base = node.module.removeprefix("pcinfra").lstrip(".")
            if base:
                yield base
            else:
                yield from (alias.name for alias in node.names if not alias.name.startswith("_"))
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("pcinfra.") for a in node.names if a.name.startswith("pcinfra."))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_forward_only(path: Path) -> None:
    here = name_of(path)
    if not here:
        return
    for other in imports(path):
        if room(other) == room(here) or (room(here), room(other)) == ("engine", "engine.model"):
            continue
        assert room(other) in FLOORS, f"{other} has no floor: add it to FLOORS"
        assert FLOORS[room(other)] < FLOORS[room(here)] or local_command(here, other), f"{here} imports {other}"


def local_command(here: str, other: str) -> bool:
    """The local cloud is known to its own command only."""
    return here == "cli.local" and room(other) == "localcloud"


@pytest.mark.parametrize("path", [p for p in modules() if name_of(p).partition(".")[0] in PURE], ids=name_of)
def test_pure_rooms_import_no_door(path: Path) -> None:
    assert not {"aws", "shell", "doors"} & set(imports(path))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert not names & {"boto3", "botocore", "subprocess"}


def test_boto3_subprocess_and_kubernetes_have_one_door_each() -> None:
    doors = {"boto3": "aws", "botocore": "aws", "subprocess": "shell", "kubernetes": "jobs.kubernetes.api"}
    for path in modules():
        here = name_of(path)
        if here.startswith("localcloud"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                door = doors.get(name.partition(".")[0])
                assert door is None or here == door, f"{here} imports {name}; the door is {door}.py"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_start_up_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from pcinfra.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_slurm_job_is_submitted_without_a_module_of_kubernetes() -> None:
    """The library takes most of a second to import, and may not be installed."""
    code = (
        "import sys; from pcinfra.cli.main import main\n"
        "try: main(['submit', 'examples/hello.yaml', '--dry-run'])\n"
        "except SystemExit as end: assert not end.code, end\n"
        "print(sorted(m for m in sys.modules if m.partition('.')[0] == 'kubernetes'\n"
        "      or m.startswith(('pcinfra.jobs.kubernetes.schema', 'pcinfra.jobs.kubernetes.api'))), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stderr.strip() == "[]"
