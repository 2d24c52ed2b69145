"""An all-reduce between all tasks of a step, a GPU each, timed: ``nccl: 243.5`` is its bus bandwidth in GB/s.

Without GPUs it goes by gloo, and its line begins with ``gloo:``. The tasks find each other at MASTER_ADDR, by a port
that the first one writes to the file that is the argument. Bus bandwidth as nccl-tests count it (doc/PERFORMANCE.md).
"""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

PATIENCE = timedelta(seconds=180)
NOTE = Path(sys.argv[1])


def meet(rank: int, size: int) -> dist.TCPStore:
    """Return the store at which the tasks meet."""
    address = os.environ["MASTER_ADDR"]
    if rank == 0:
        store = dist.TCPStore(address, 0, size, is_master=True, timeout=PATIENCE, wait_for_workers=False)
        draft = NOTE.with_name(f"{NOTE.name}.new")
        draft.write_text(str(store.port))
        draft.rename(NOTE)
        return store
    end = time.monotonic() + PATIENCE.total_seconds()
    while not NOTE.exists():
        if time.monotonic() > end:
            sys.exit("the first task is not there")
        time.sleep(0.1)
    return dist.TCPStore(address, int(NOTE.read_text()), size, timeout=PATIENCE)


def main() -> None:
    rank, size, local = (int(os.environ[f"SLURM_{name}"]) for name in ("PROCID", "NTASKS", "LOCALID"))
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local % torch.cuda.device_count())
    store = meet(rank, size)
    backend = "nccl" if cuda else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    count, times = (1 << 28, 20) if cuda else (1 << 20, 5)
    data = torch.full((count,), float(rank), device="cuda" if cuda else "cpu")
    dist.all_reduce(data)
    if not bool((data == size * (size - 1) / 2).all()):
        sys.exit("the sum is wrong")
    for _ in range(2):
        dist.all_reduce(data)
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        dist.all_reduce(data)
    if cuda:
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / times
    dist.barrier()
    if rank == 0:
        print(f"{backend}: {count * 4 / seconds * 2 * (size - 1) / size / 1e9:.1f}")
    dist.destroy_process_group()


main()
