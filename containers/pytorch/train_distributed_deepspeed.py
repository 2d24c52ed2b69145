"""Train a causal language model on many GPUs, with DeepSpeed ZeRO or with plain PyTorch.

Started by torchrun, one process per GPU::

    torchrun --nproc-per-node 8 train_distributed_deepspeed.py --steps 1000 --data /lustre/data/corpus

Without ``--data`` it trains on text that it makes up, without ``--model`` a small built-in GPT, so that a cluster can
be tried out before anything is downloaded. ``--model PATH`` trains a Hugging Face causal LM from a folder.

It continues, stops and tells what it does as train_ddp.py does, which lies beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import resume
import torch
import torch.distributed as dist
from torch import Tensor, nn
from train_ddp import Corpus, DdpTrainer, Trainer, bytes_of, joined, leave, parsed, parser, tiny_gpt, train

HERE = Path(__file__).resolve().parent
TAG = "state"
"""DeepSpeed writes into a folder of this name in a checkpoint."""


class HuggingFaceLM(nn.Module):
    """A causal LM from a folder of Hugging Face files, with the interface of train_ddp's TinyGPT."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder)

    def forward(self, ids: Tensor) -> Tensor:
        loss: Tensor = self.model(input_ids=ids, labels=ids).loss
        return loss


class DeepSpeedTrainer:
    """DeepSpeed ZeRO: optimizer state, gradients and (stage 3) weights are divided among the processes."""

    shards = True

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

    def save(self, folder: Path) -> None:
        self.engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)

    def load(self, found: resume.Checkpoint) -> None:
        path, _ = self.engine.load_checkpoint(str(found.path), tag=TAG)
        if path is None:
            raise SystemExit(f"{found.path} is no checkpoint of this configuration")


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


def token_ids(options: argparse.Namespace) -> Tensor:
    text = bytes_of(options)
    if options.model is None:
        return torch.frombuffer(bytearray(text), dtype=torch.uint8)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    return torch.tensor(tokenizer(text.decode("utf-8", "replace"))["input_ids"])


def build_model(options: argparse.Namespace) -> nn.Module:
    if options.model is None:
        return tiny_gpt(options)
    torch.manual_seed(options.seed)
    return HuggingFaceLM(options.model)


def arguments() -> argparse.Namespace:
    made = parser("Train a causal language model on many GPUs.")
    add = made.add_argument
    add("--model", help="folder of a Hugging Face causal LM (default: a small built-in GPT)")
    add("--deepspeed", action=argparse.BooleanOptionalAction, default=True)
    add("--deepspeed-config", type=Path, default=HERE / "ds_config.json")
    add("--zero-stage", type=int, choices=(0, 1, 2, 3), help="default: as in the configuration file")
    return parsed(made)


def main() -> None:
    options = arguments()
    device = joined()
    try:
        model = build_model(options)
        made = DeepSpeedTrainer if options.deepspeed else DdpTrainer
        trainer: Trainer = made(model, options, device)
        train(trainer, Corpus(token_ids(options), options.length, options.seed), options, device)
        dist.barrier()  # nobody leaves whom others still need
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
    leave()
