"""The smallest training with all its parts: torchrun starts it once for each GPU, on every node."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
total = torch.ones(1, device=device)
dist.all_reduce(total)
print(f"rank {dist.get_rank()} of {dist.get_world_size()}: {int(total.item())} processes work together", flush=True)
dist.destroy_process_group()
