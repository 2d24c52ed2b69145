"""``make soak``: the long form of the bad days. About half an hour; prints what it found, and fails if one ended badly.

1. Every request of a clean ``up`` and ``down``, with every fault, one at a time, each in a project of its own.
2. All of them in one go, each failing once and never tried again within a run, so that every failure ends a run; four
   times, each time with the next fault for each request.
3. Two hundred ``kill -9`` at random moments of ``up`` and ``down``.

``python -m tests.soak --every 7 --kills 20`` takes every seventh case.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pcinfra.aws import Target
from pcinfra.localcloud.process import LocalCloud
from pcinfra.project.load import load
from tests.account import Account
from tests.conftest import new_project
from tests.faults import Fault, failing
from tests.local.test_faults import ONCE, TRIES, assert_up_once, in_turn, runs_until_done


@dataclass(frozen=True)
class Case:
    """A fault, the request of ``up`` and the request of ``down`` that it hits; empty hits none."""

    fault: Fault
    up: str
    down: str


def keys(target: Target) -> dict[str, list[str]]:
    """Return every request of a clean ``up`` and ``down``."""
    project, seen = new_project(), {}
    for command in ("up", "down"):
        with failing(target.endpoint, lambda _: None) as proxy:
            runs_until_done(proxy.url, target, project, TRIES, command)
            seen[command] = list(proxy.seen)
    return seen


def try_case(target: Target, case: Case) -> Counter[str]:
    """Carry out one case; return how many of its two commands ended in the same run, in a later one, or badly."""
    project, ends = new_project(), Counter[str]()
    try:
        for command in ("up", "down"):
            wanted = getattr(case, command)
            with failing(target.endpoint, lambda key, wanted=wanted: case.fault if key == wanted else None) as proxy:  # type: ignore[misc]
                runs = runs_until_done(proxy.url, target, project, TRIES, command)
                ends[_end(bool(proxy.hit), bool(wanted), runs)] += 1
            if command == "up":
                assert_up_once(Account(target, project))
        left = Account(target, project).left()
        assert left == [], left
    except Exception as error:
        print(f"BAD {case}: {type(error).__name__}: {error}", flush=True)
        ends["badly"] += 1
    return ends


def without_retries(target: Target, first: int) -> tuple[int, int]:
    """Let every request fail once, and every failure end the run; return how many runs ``up`` and ``down`` took."""
    project = new_project()
    with failing(target.endpoint, in_turn(first)) as proxy:
        ups = runs_until_done(proxy.url, target, project, ONCE, "up")
        assert_up_once(Account(target, project))
        downs = runs_until_done(proxy.url, target, project, ONCE, "down")
    left = Account(target, project).left()
    assert left == [], left
    return ups, downs


def _end(hit: bool, wanted: bool, runs: int) -> str:
    if not hit:
        return "not met" if wanted else "none meant"
    return "same run" if runs == 1 else "next run"


def faults(every: int) -> bool:
    """Try the table; return whether everything ended well."""
    with tempfile.TemporaryDirectory() as folder:
        cloud = LocalCloud(Path(folder) / "local")
        endpoint = cloud.ensure()
        target = Target("us-east-1", endpoint=endpoint.url, credentials=endpoint.credentials, registry=False)
        try:
            found = keys(target)
            pairs = list(zip_longest(found["up"], found["down"], fillvalue=""))
            cases = [Case(fault, up, down) for up, down in pairs for fault in Fault][::every]
            print(f"{len(found['up'])} requests of up, {len(found['down'])} of down; {len(cases)} cases", flush=True)
            with ThreadPoolExecutor(3) as pool:
                total = sum(pool.map(lambda case: try_case(target, case), cases), Counter[str]())
                runs = list(pool.map(lambda first: without_retries(target, first), range(len(Fault))))
        finally:
            cloud.stop()
    print(f"without retries: converged after {runs} runs of up and down", flush=True)
    print("faults:", ", ".join(f"{end} {number}" for end, number in sorted(total.items())), flush=True)
    return not total["badly"]


def kills(number: int, seed: int) -> bool:
    """Kill ``up`` and ``down`` at random moments, five times each, then let them end; return whether all was well."""
    chance, done = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _pcinfra(folder, "init", "--yes").wait()
        cloud = LocalCloud(folder / ".pcinfra" / "local")
        endpoint = cloud.ensure()
        target = Target("us-east-1", endpoint=endpoint.url, credentials=endpoint.credentials, registry=False)
        try:
            account = Account(target, load(folder / "pcinfra.yaml"))
            while done < number:
                done += _killed(folder, chance, "up")
                assert_up_once(account)
                done += _killed(folder, chance, "down", "--yes")
                assert account.left() == [], account.left()
        finally:
            cloud.stop()
    print(f"kills: {done}, each continued by the next run", flush=True)
    return True


def _killed(folder: Path, chance: random.Random, *command: str) -> int:
    """Kill a command five times, then let it end."""
    for _ in range(5):
        process = _pcinfra(folder, "--local", *command)
        time.sleep(chance.uniform(0.4, 4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    status = _pcinfra(folder, "--local", *command).wait(timeout=300)
    assert status == 0, f"{command} ended with {status}:\n{(folder / 'log').read_text()[-4000:]}"
    return 5


def _pcinfra(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pcinfra.cli.main", *arguments]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def main() -> int:
    """Run both parts."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth case of the table")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    os.environ["PCINFRA_LOCAL_DELAY"] = "0.05"
    print(f"seed {options.seed}", flush=True)
    begun = time.monotonic()
    well = faults(options.every) & kills(options.kills, options.seed)
    print(f"{time.monotonic() - begun:.0f} s", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
