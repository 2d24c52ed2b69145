"""A training script for tests of recovery: fits a line, by gloo, until the file ``finish`` appears.

The samples of a step are shared out over however many processes there are, so that the losses are the same for any
number of them, up to rounding. Needs torch, and pcinfra's ``resume.py`` beside it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

SAMPLES, RATE = 12, 0.05


def sample(step: int, number: int) -> tuple[float, float]:
    x = ((step * 7 + number * 3) % 11) / 11
    return x, 3 * x + 1


def part(step: int, slope: float, offset: float, numbers: range) -> list[float]:
    """Return the sums of both gradients and of the squared errors over some samples of a step."""
    sums = [0.0, 0.0, 0.0]
    for number in numbers:
        x, y = sample(step, number)
        error = slope * x + offset - y
        sums = [sums[0] + error * x, sums[1] + error, sums[2] + error * error]
    return sums


def curve(steps: int) -> dict[int, float]:
    """Return the loss of every step of a run that nothing disturbs."""
    slope = offset = 0.0
    found = {}
    for step in range(1, steps + 1):
        sums = part(step, slope, offset, range(SAMPLES))
        slope, offset = slope - RATE * sums[0], offset - RATE * sums[1]
        found[step] = sums[2]
    return found


def main() -> None:
    import resume  # type: ignore[import-not-found]
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    run = resume.Run("checkpoints")
    found = run.newest()
    slope, offset = json.loads((found.path / "line").read_text()) if found else (0.0, 0.0)
    step = found.step if found else 0
    count = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    say = print if rank == 0 else (lambda *_, **__: None)
    say(json.dumps({"from": step, "size": size, "count": count}), flush=True)
    while not run.group.agree(Path("finish").exists()):
        step += 1
        sums = torch.tensor(part(step, slope, offset, range(rank, SAMPLES, size)), dtype=torch.float64)
        dist.all_reduce(sums)
        slope, offset = slope - RATE * float(sums[0]), offset - RATE * float(sums[1])
        say(json.dumps({"step": step, "loss": float(sums[2])}), flush=True)
        if step % 5 == 0:
            line = json.dumps([slope, offset])
            run.save(step, lambda folder, line=line: (folder / "line").write_text(line))
        time.sleep(0.02)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
