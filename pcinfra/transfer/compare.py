"""Which files are equal on both sides.

Different sizes are different files. Of equal size, a file counts as equal without being read when nothing has touched
it since before S3 took the object (its inode's change time, which no program can set back, corrected by the difference
of the two clocks), or when it carries the very time that a pull gave it. All other pairs are doubtful: only the
content tells, by the ETag.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from pathlib import Path

from pcinfra.transfer import digest
from pcinfra.transfer.model import LocalFile, RemoteFile, Step, TransferPlan

_GRAIN = 1.0  # seconds: S3 tells times in whole ones
_EXACT = 0.001  # seconds: what a pull has set is read back with this exactness


class Verdict(Enum):
    """What sizes and times say."""

    SAME = "same"
    DIFFERENT = "different"
    DOUBTFUL = "doubtful"


def compare(here: LocalFile, there: RemoteFile, skew: float, pushing: bool, thorough: bool) -> Verdict:
    """Return what sizes and times say about a file and an object of the same name.

    Args:
        skew: our clock minus S3's, in seconds.
        pushing: the direction. An object newer than the file is no news for a push, but it may be for a pull.
        thorough: trust no time; only the content counts.
    """
    if here.size != there.size:
        return Verdict.DIFFERENT
    if thorough:
        return Verdict.DOUBTFUL
    if abs(here.modified - there.modified) < _EXACT or (pushing and here.touched - skew < there.modified - _GRAIN):
        return Verdict.SAME
    return Verdict.DOUBTFUL


def settle(plan: TransferPlan, directory: Path, threads: int = 8) -> TransferPlan:
    """Return ``plan`` without the doubtful steps whose file is equal to its object. Reads those files."""
    doubtful = [step for step in plan.steps if step.doubtful]
    if not doubtful:
        return plan
    with ThreadPoolExecutor(threads) as pool:
        equal = {step.name for step, same in zip(doubtful, _in_chunks(pool, directory, doubtful), strict=True) if same}
    kept = tuple(replace(s, doubtful=False) for s in plan.steps if not (s.doubtful and s.name in equal))
    return TransferPlan(kept, plan.same + len(equal), plan.problems)


def _in_chunks(pool: ThreadPoolExecutor, directory: Path, steps: list[Step], size: int = 64) -> Iterable[bool]:
    """Small files cost less to read than to hand to a thread: each thread takes many."""
    chunks = [steps[n : n + size] for n in range(0, len(steps), size)]
    look: Callable[[list[Step]], list[bool]] = lambda chunk: [same_content(directory, step) for step in chunk]  # noqa: E731
    for answers in pool.map(look, chunks):
        yield from answers


def same_content(directory: Path, step: Step) -> bool:
    """Return whether the file is proven equal to its object; one that cannot be read is not."""
    assert step.remote is not None
    try:
        with open(os.path.join(directory, step.name), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            return size == step.remote.size and digest.matches(file, size, step.remote.etag)
    except OSError:
        return False
