"""Train a causal language model on many GPUs, with DeepSpeed ZeRO or with plain PyTorch.

Started by torchrun, one process per GPU::

    torchrun --nproc-per-node 8 train_distributed_deepspeed.py --steps 1000 --data /lustre/data/corpus

Without ``--data`` it trains a small built-in GPT on text that it makes up, so that a cluster can be tried out
before anything is downloaded. ``--model PATH`` trains a Hugging Face causal LM from a folder instead.

It continues by itself from the newest checkpoint in ``--checkpoints``. Which samples a step sees depends on the
seed and the step alone, so a run that was interrupted sees what an uninterrupted one sees. When the stop file
(``$PCI_STOP_FILE``) appears, it writes a checkpoint and ends with status 0; when all steps are done, it makes the
done file (``DONE`` beside the stop file, if there is one). Rank 0 writes one JSON object per line to stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

HERE = Path(__file__).resolve().parent
BYTES = 256
LATEST = "latest"
"""Holds the name of the newest complete checkpoint; DeepSpeed's own convention."""


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
        return x + self.feed(self.before_feed(x))


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


class HuggingFaceLM(nn.Module):
    """A causal LM from a folder of Hugging Face files, with the interface of :class:`TinyGPT`."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder)

    def forward(self, ids: Tensor) -> Tensor:
        loss: Tensor = self.model(input_ids=ids, labels=ids).loss
        return loss


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

    def step(self, batches: Iterator[Tensor]) -> Tensor:
        """Update the weights once and return the mean loss of this process."""
        ...

    def save(self, folder: Path, name: str) -> None:
        """Write a checkpoint; every process calls this."""
        ...

    def load(self, folder: Path, name: str) -> None:
        """Continue from a checkpoint; every process calls this."""
        ...


class PlainTrainer:
    """DistributedDataParallel: a whole copy of the model in every process."""

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

    def save(self, folder: Path, name: str) -> None:
        if dist.get_rank() == 0:
            temporary = folder / f".{name}.{os.getpid()}"
            temporary.mkdir(parents=True)
            torch.save(self._state(), temporary / "state.pt")
            shutil.rmtree(folder / name, ignore_errors=True)
            temporary.rename(folder / name)
        dist.barrier()

    def load(self, folder: Path, name: str) -> None:
        state = torch.load(folder / name / "state.pt", map_location=self.device, weights_only=True)
        self.model.module.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }


class DeepSpeedTrainer:
    """DeepSpeed ZeRO: optimizer state, gradients and (stage 3) weights are divided among the processes."""

    def __init__(self, model: nn.Module, options: argparse.Namespace, device: torch.device) -> None:
        import deepspeed

        self.device = device
        self.accumulate = options.accumulate
        self.engine, *_ = deepspeed.initialize(
            model=model, model_parameters=model.parameters(), config=deepspeed_config(options)
        )

    def step(self, batches: Iterator[Tensor]) -> Tensor:
        total = torch.zeros((), device=self.device)
        for _ in range(self.accumulate):
            loss = self.engine(next(batches))
            self.engine.backward(loss)
            self.engine.step()
            total += loss.detach() / self.accumulate
        return total

    def save(self, folder: Path, name: str) -> None:
        self.engine.save_checkpoint(str(folder), tag=name, save_latest=False)

    def load(self, folder: Path, name: str) -> None:
        path, _ = self.engine.load_checkpoint(str(folder), tag=name)
        if path is None:
            raise SystemExit(f"{folder / name} is no checkpoint of this configuration")


def deepspeed_config(options: argparse.Namespace) -> dict[str, Any]:
    """Return the configuration file with what the command line decides."""
    config: dict[str, Any] = json.loads(Path(options.deepspeed_config).read_text(encoding="utf-8"))
    config["train_micro_batch_size_per_gpu"] = options.batch_size
    config["gradient_accumulation_steps"] = options.accumulate
    config["optimizer"]["params"]["lr"] = options.lr
    config["scheduler"]["params"] |= {"warmup_max_lr": options.lr, "warmup_num_steps": options.warmup}
    if options.zero_stage is not None:
        config["zero_optimization"]["stage"] = options.zero_stage
    if not torch.cuda.is_available():
        config["bf16"] = {"enabled": False}
    return config


class Checkpoints:
    """A folder of checkpoints named ``step-N``; ``latest`` names the newest complete one."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def newest(self) -> int:
        """Return the step to continue after; 0 when there is none."""
        pointer = self.folder / LATEST
        return int(pointer.read_text().strip().removeprefix("step-")) if pointer.exists() else 0

    def save(self, trainer: Trainer, step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        trainer.save(self.folder, f"step-{step}")
        dist.barrier()
        if dist.get_rank() == 0:
            pointer = self.folder / f".{LATEST}"
            pointer.write_text(f"step-{step}\n")
            pointer.replace(self.folder / LATEST)
            self._forget()
        dist.barrier()

    def _forget(self) -> None:
        found = sorted(self.folder.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
        for old in found[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)


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


def token_ids(options: argparse.Namespace) -> Tensor:
    text = read_text(options.data) if options.data else synthetic_text(options.seed)
    if options.model is None:
        return torch.frombuffer(bytearray(text), dtype=torch.uint8)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    return torch.tensor(tokenizer(text.decode("utf-8", "replace"))["input_ids"])


def build_model(options: argparse.Namespace) -> nn.Module:
    torch.manual_seed(options.seed)
    if options.model is not None:
        return HuggingFaceLM(options.model)
    return TinyGPT(options.length, options.width, options.layers, options.heads)


def any_process(flag: bool, device: torch.device) -> bool:
    """Tell every process whether one of them says so: all stop at the same step."""
    told = torch.tensor(int(flag), device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told.item())


def mean(value: Tensor) -> float:
    dist.all_reduce(value)
    return float(value) / dist.get_world_size()


def report(**fields: Any) -> None:
    if dist.get_rank() == 0:
        print(json.dumps({"time": round(time.time(), 3), **fields}), flush=True)


def train(options: argparse.Namespace, device: torch.device) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    trainer: Trainer = (DeepSpeedTrainer if options.deepspeed else PlainTrainer)(build_model(options), options, device)
    corpus = Corpus(token_ids(options), options.length, options.seed)
    checkpoints = Checkpoints(options.checkpoints, options.keep)
    first = checkpoints.newest()
    if first:
        trainer.load(checkpoints.folder, f"step-{first}")
    report(event="start", step=first, world_size=size, device=device.type, deepspeed=options.deepspeed)
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
        stop = any_process(options.stop_file is not None and options.stop_file.exists(), device)
        if stop or step % options.checkpoint_every == 0 or step == options.steps:
            checkpoints.save(trainer, step)
            report(event="checkpoint", step=step)
        if stop and step < options.steps:
            report(event="stop", step=step)
            return
    report(event="done", step=options.steps)
    if rank == 0 and options.done_file is not None:
        options.done_file.touch()


def path_from(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a causal language model on many GPUs.")
    add = parser.add_argument
    add("--steps", type=positive, default=200, help="updates of the weights (default: %(default)s)")
    add("--data", type=Path, help="text file, or folder of *.txt files (default: text that it makes up)")
    add("--model", help="folder of a Hugging Face causal LM (default: a small built-in GPT)")
    add("--checkpoints", type=Path, default=path_from("LUSTRE_CHECKPOINT_DIR") or Path("checkpoints"))
    add("--checkpoint-every", type=positive, default=100, metavar="STEPS")
    add("--keep", type=positive, default=3, help="checkpoints to keep (default: %(default)s)")
    add("--log-every", type=positive, default=10, metavar="STEPS")
    add("--stop-file", type=Path, default=path_from("PCI_STOP_FILE"), help="default: $PCI_STOP_FILE")
    add("--done-file", type=Path, help="default: DONE beside the stop file")
    add("--batch-size", type=positive, default=8, help="samples per process and forward pass")
    add("--accumulate", type=positive, default=1, help="forward passes per update")
    add("--lr", type=float, default=3e-4)
    add("--warmup", type=positive, default=20, metavar="STEPS")
    add("--seed", type=int, default=1)
    add("--length", type=positive, default=256, help="tokens per sample")
    add("--width", type=positive, default=256)
    add("--layers", type=positive, default=4)
    add("--heads", type=positive, default=4)
    add("--deepspeed", action=argparse.BooleanOptionalAction, default=True)
    add("--deepspeed-config", type=Path, default=HERE / "ds_config.json")
    add("--zero-stage", type=int, choices=(0, 1, 2, 3), help="default: as in the configuration file")
    options = parser.parse_args(arguments)
    if options.width % options.heads:
        parser.error("--width must be a multiple of --heads")
    if options.done_file is None and options.stop_file is not None:
        options.done_file = options.stop_file.with_name("DONE")
    return options


def main() -> None:
    options = parse(sys.argv[1:])
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(minutes=30))
    try:
        train(options, device)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
