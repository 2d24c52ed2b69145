"""What is installed is what is in the checkout: the product from a wheel, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path, status: int = 0) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=180, env=dict(os.environ)
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pcinfra from a wheel; its libraries are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    run(sys.executable, *build, cwd=folder)
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python.parent


@pytest.mark.slow
def test_up_and_down_work_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    pcinfra = installed / "pcinfra"
    where = run(installed / "python", "-c", "import pcinfra; print(pcinfra.__file__)", cwd=tmp_path)
    assert str(ROOT) not in where
    run(pcinfra, "init", "--yes", cwd=tmp_path)
    try:
        run(pcinfra, "--local", "up", cwd=tmp_path)
        rows = json.loads(run(pcinfra, "--local", "status", "--output", "json", cwd=tmp_path))
        assert {row["health"] for row in rows} == {"ok"}
        assert "OnNodeConfigured" in run(pcinfra, "--local", "cluster", "render", "train", cwd=tmp_path)
        run(pcinfra, "--local", "submit", "examples/hello.yaml", "--dry-run", cwd=tmp_path)
        run(pcinfra, "--local", "recipe", "run", "torchrun-ddp", "--container", "off", "--dry-run", cwd=tmp_path)
        run(pcinfra, "--local", "down", "--yes", cwd=tmp_path)
    finally:
        run(pcinfra, "local", "stop", cwd=tmp_path)
