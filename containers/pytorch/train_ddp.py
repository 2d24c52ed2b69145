"""Train a small GPT with PyTorch's DistributedDataParallel, on GPUs (NCCL) or on CPUs (Gloo).

Started by torchrun, one process for each GPU or as many as you like on CPUs::

    torchrun --nproc-per-node 2 train_ddp.py --steps 200

Without ``--data`` it trains on text that it makes up, so that a cluster can be tried out before any data is there.

It continues by itself from the newest complete checkpoint. Which samples a step sees depends on the seed and the step
alone, so a run that was interrupted has the loss curve of one that was not. When the job is about to lose its nodes it
writes a checkpoint and ends with status 0, to be started again. Rank 0 writes one JSON object per line to stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, Protocol

import resume
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

BYTES = 256


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a norm and with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.before_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        mixed = self.mix(self.before_attention(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.project(attended.transpose(1, 2).reshape(batch, length, width))
        fed: Tensor = self.feed(self.before_feed(x))
        return x + fed


class TinyGPT(nn.Module):
    """A GPT over bytes. ``forward`` takes token ids (batch, length) and returns the mean loss."""

    def __init__(self, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(BYTES, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, BYTES, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        inputs, targets = ids[:, :-1], ids[:, 1:]
        x = self.tokens(inputs) + self.places(torch.arange(inputs.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Corpus:
    """One long row of token ids. ``batch`` draws samples by step and rank, the same ones every time."""

    def __init__(self, ids: Tensor, length: int, seed: int) -> None:
        if len(ids) <= length + 1:
            raise SystemExit(f"the corpus has {len(ids)} tokens; a sample needs {length + 2}")
        self.ids = ids
        self.length = length
        self.seed = seed

    def batch(self, draw: int, rank: int, size: int) -> Tensor:
        generator = torch.Generator().manual_seed(((self.seed << 40) + (draw << 16) + rank) & (2**63 - 1))
        starts = torch.randint(len(self.ids) - self.length - 1, (size,), generator=generator)
        return torch.stack([self.ids[start : start + self.length + 1] for start in starts]).long()


class Trainer(Protocol):
    """What one process does with its share of the model. A step is one update of the weights."""

    shards: bool
    """Whether every process writes a part of a checkpoint, else rank 0 writes all of it."""

    def step(self, batches: Iterator[Tensor]) -> Tensor:
        """Update the weights once and return the mean loss of this process."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint into an empty folder."""
        ...

    def load(self, found: resume.Checkpoint) -> None:
        """Continue from a checkpoint; every process calls this."""
        ...


class DdpTrainer:
    """A whole copy of the model in every process."""

    shards = False

    def __init__(self, model: nn.Module, options: argparse.Namespace, device: torch.device) -> None:
        self.device = device
        self.accumulate = options.accumulate
        self.model = DistributedDataParallel(
            model.to(device), device_ids=[device.index] if device.type == "cuda" else None
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=options.lr, weight_decay=0.1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda n: min(1.0, (n + 1) / options.warmup))

    def step(self, batches: Iterator[Tensor]) -> Tensor:
        total = torch.zeros((), device=self.device)
        for turn in range(1, self.accumulate + 1):
            with nullcontext() if turn == self.accumulate else self.model.no_sync():
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                    loss = self.model(next(batches)) / self.accumulate
                loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def save(self, folder: Path) -> None:
        resume.torch_writer(**self._parts())(folder)

    def load(self, found: resume.Checkpoint) -> None:
        resume.torch_load(found, self.device, **self._parts())

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model.module, "optimizer": self.optimizer, "schedule": self.schedule}


def synthetic_text(seed: int) -> bytes:
    """Return text with something to learn in it: sums, written out."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(1000, (20_000, 2), generator=generator).tolist()
    return "".join(f"{a} plus {b} is {a + b}. " for a, b in pairs).encode()


def read_text(path: Path) -> bytes:
    """Return a file, or every ``*.txt`` below a folder in the order of their names."""
    files = [path] if path.is_file() else sorted(path.rglob("*.txt"))
    if not files:
        raise SystemExit(f"{path}: no such file, and no folder with *.txt files")
    return b"\n".join(file.read_bytes() for file in files)


def bytes_of(options: argparse.Namespace) -> bytes:
    return read_text(options.data) if options.data else synthetic_text(options.seed)


def mean(value: Tensor) -> float:
    dist.all_reduce(value)
    return float(value) / dist.get_world_size()


def report(**fields: Any) -> None:
    if dist.get_rank() == 0:
        print(json.dumps({"time": round(time.time(), 3), **fields}), flush=True)


def train(trainer: Trainer, corpus: Corpus, options: argparse.Namespace, device: torch.device) -> None:
    """Train from the newest checkpoint to the last step, or until the job is about to lose its nodes."""
    run = resume.Run(options.checkpoints, keep=options.keep)
    rank, size = dist.get_rank(), dist.get_world_size()
    found = run.newest()
    if found:
        trainer.load(found)
    first = found.step if found else 0
    report(event="start", step=first, attempt=run.attempt, world_size=size, device=device.type)
    began, since = time.monotonic(), first
    for step in range(first + 1, options.steps + 1):
        draws = range((step - 1) * options.accumulate, step * options.accumulate)
        loss = mean(trainer.step(corpus.batch(draw, rank, options.batch_size).to(device) for draw in draws))
        if not math.isfinite(loss):
            raise SystemExit(f"the loss of step {step} is {loss}")
        if step % options.log_every == 0 or step == options.steps:
            tokens = (step - since) * options.accumulate * options.batch_size * options.length * size
            rate = tokens / (time.monotonic() - began)
            report(event="step", step=step, loss=round(loss, 5), tokens_per_second=round(rate, 1))
            began, since = time.monotonic(), step
        stop = run.stopping()
        if stop or step % options.checkpoint_every == 0 or step == options.steps:
            run.save(step, trainer.save, shards=trainer.shards)
            report(event="checkpoint", step=step)
        if stop and step < options.steps:
            report(event="stop", step=step)
            return
    report(event="done", step=options.steps)
    run.done()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


def parser(description: str) -> argparse.ArgumentParser:
    """Return the options that every training script here has."""
    made = argparse.ArgumentParser(description=description)
    add = made.add_argument
    add("--steps", type=positive, default=200, help="updates of the weights (default: %(default)s)")
    add("--data", type=Path, help="text file, or folder of *.txt files (default: text that it makes up)")
    add("--checkpoints", type=Path, help="folder (default: $PCINFRA_CHECKPOINTS, else ./checkpoints)")
    add("--checkpoint-every", type=positive, default=100, metavar="STEPS")
    add("--keep", type=positive, default=3, help="checkpoints to keep (default: %(default)s)")
    add("--log-every", type=positive, default=10, metavar="STEPS")
    add("--batch-size", type=positive, default=8, help="samples per process and forward pass")
    add("--accumulate", type=positive, default=1, help="forward passes per update")
    add("--lr", type=float, default=3e-4)
    add("--warmup", type=positive, default=20, metavar="STEPS")
    add("--seed", type=int, default=1)
    add("--length", type=positive, default=256, help="tokens per sample")
    add("--width", type=positive, default=256)
    add("--layers", type=positive, default=4)
    add("--heads", type=positive, default=4)
    return made


def parsed(made: argparse.ArgumentParser) -> argparse.Namespace:
    options = made.parse_args(sys.argv[1:])
    if options.width % options.heads:
        made.error("--width must be a multiple of --heads")
    return options


def joined() -> torch.device:
    """Join the other processes, and return the device of this one."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(minutes=30))
    return device


def leave() -> NoReturn:
    """End this process with 0, without taking Python down.

    Threads of PyTorch are now and then still there when Python ends, and abort a process that has done its work
    ("terminate called without an active exception"). torchrun starts it again then, and waits for others that are gone.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def tiny_gpt(options: argparse.Namespace) -> nn.Module:
    torch.manual_seed(options.seed)
    return TinyGPT(options.length, options.width, options.layers, options.heads)


def main() -> None:
    options = parsed(parser("Train a small GPT on many GPUs or CPUs, with PyTorch alone."))
    device = joined()
    try:
        corpus = Corpus(torch.frombuffer(bytearray(bytes_of(options)), dtype=torch.uint8), options.length, options.seed)
        train(DdpTrainer(tiny_gpt(options), options, device), corpus, options, device)
        dist.barrier()  # nobody leaves whom others still need
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
    leave()
