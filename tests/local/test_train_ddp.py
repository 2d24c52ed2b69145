"""The training script of the image, really run on CPUs. Needs torch, which pcinfra itself does not."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pcinfra import assets

SCRIPT = assets.folder("containers") / "pytorch" / "train_ddp.py"
SMALL = ["--width=32", "--layers=1", "--heads=2", "--length=32", "--log-every=1", "--checkpoint-every=5"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install torch"
)


class Training:
    """Two ranks of the script in one run directory."""

    def __init__(self, folder: Path, steps: int, attempt: int = 0, script: Path = SCRIPT, *more: str) -> None:
        folder.mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        shared = os.environ | {
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
            "PCINFRA_RUN_DIR": str(folder), "PCINFRA_CHECKPOINTS": str(folder / "checkpoints"),
            "PCINFRA_ATTEMPT": str(attempt), "PCINFRA_STOP_FILE": str(folder / f"stop.{attempt}"),
        }  # fmt: skip
        argv = [sys.executable, "-W", "ignore", str(script), "--steps", str(steps), *SMALL, *more]
        self.ranks = [
            subprocess.Popen(argv, env=shared | {"RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
            for rank in range(2)
        ]

    def events(self) -> Iterator[dict[str, Any]]:
        out = self.ranks[0].stdout
        assert out is not None
        for line in out:
            yield json.loads(line)

    def kill(self) -> None:
        for process in self.ranks:
            process.kill()
            process.communicate()

    def rest(self) -> list[dict[str, Any]]:
        events = list(self.events())
        assert [process.wait(timeout=60) for process in self.ranks] == [0, 0]
        self.kill()
        return events


def losses(events: list[dict[str, Any]]) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events if event["event"] == "step"}


@pytest.mark.slow
def test_an_interrupted_run_has_the_losses_of_an_undisturbed_one(tmp_path: Path) -> None:
    whole = losses(Training(tmp_path / "whole", 20).rest())
    assert list(whole) == list(range(1, 21))
    killed = Training(tmp_path / "run", 20)
    for event in killed.events():
        if event["event"] == "checkpoint":
            break
    killed.kill()  # some steps after it may have been made
    assert not (tmp_path / "run/DONE").exists()
    (tmp_path / "run/stop.1").touch()
    first, *middle = Training(tmp_path / "run", 20, attempt=1).rest()
    assert first["event"] == "start"
    assert first["step"] >= 5  # at most one interval is lost
    assert middle[-1]["event"] == "stop"
    last = Training(tmp_path / "run", 20, attempt=2).rest()
    assert last[0]["step"] == middle[-1]["step"]
    assert last[-1]["event"] == "done"
    again = losses(middle) | losses(last)
    assert again == {step: loss for step, loss in whole.items() if step in again}
    assert min(again) == first["step"] + 1
    assert (tmp_path / "run/DONE").exists()
    attempts = [json.loads(line)["attempt"] for line in (tmp_path / "run/checkpoints.jsonl").read_text().splitlines()]
    assert sorted(set(attempts)) == [0, 1, 2]


@pytest.mark.slow
def test_the_deepspeed_script_without_deepspeed(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("to be or not to be " * 100)
    script = SCRIPT.with_name("train_distributed_deepspeed.py")
    events = Training(tmp_path / "run", 3, 0, script, "--no-deepspeed", "--data", str(tmp_path / "corpus.txt")).rest()
    assert [event["event"] for event in events][-1] == "done"
    assert (tmp_path / "run/checkpoints/step-3/manifest.json").exists()
