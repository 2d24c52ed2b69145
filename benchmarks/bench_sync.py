"""Sync of 10,000 small files, first and repeated: CPU of the client against ``aws s3 sync``, on a server that costs
next to nothing (``s3stub.py``). CPU is user and system time of the whole process tree; wall time is only told.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report

BIN = Path(sys.executable).parent
FILES, SIZE = 10_000, 1024
REPEATS = 3
FIRST, REPEATED = 0.65, 0.40
BUCKET = "bench-bucket"


@contextmanager
def stub() -> Iterator[str]:
    """Run the server for the time of a block; yields its URL."""
    command = [sys.executable, str(Path(__file__).with_name("s3stub.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.stdin.close()


def make_files(folder: Path) -> None:
    for number in range(FILES):
        file = folder / f"{number % 100:02}" / f"{number:05}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(number.to_bytes(4, "big") * (SIZE // 4))


def cpu(command: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, float]:
    """Run ``command``; return CPU seconds of its process tree and wall seconds."""
    begin = time.perf_counter()
    with open(cwd / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed:\n{(cwd / 'log').read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - begin


def environment(url: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return mine | keys | files | {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}


def measure(folder: Path, url: str) -> dict[str, tuple[float, float]]:
    """Return CPU seconds of the first and of a repeated sync, of each tool."""
    (folder / "pcinfra.yaml").write_text(f"project: bench\nbucket:\n  name: {BUCKET}\n")
    make_files(folder / "files")
    time.sleep(2)  # S3 tells times in whole seconds
    env = environment(url)
    commands = {
        "pcinfra": [str(BIN / "pcinfra"), "data", "sync", "files", "s3:data/pcinfra"],
        "aws": [str(BIN / "aws"), "s3", "sync", "files", f"s3://{BUCKET}/data/aws", "--only-show-errors"],
    }
    found = {}
    for name, command in commands.items():
        first, wall = cpu(command, folder, env)
        print(f"     {name}: first {first:.2f} s CPU, {wall:.1f} s wall, {1000 * first / FILES:.2f} ms CPU a file")
        found[name] = [first]
    for _ in range(REPEATS):
        for name, command in commands.items():
            found[name].append(cpu(command, folder, env)[0])
    for name, (_, *again) in found.items():
        print(f"     {name}: repeated {statistics.median(again):.2f} s CPU")
    return {name: (first, statistics.median(again)) for name, (first, *again) in found.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, stub() as url:
        found = measure(Path(folder), url)
    first, again = (found["pcinfra"][n] / found["aws"][n] for n in (0, 1))
    met = [report("first sync / aws s3 sync, CPU", first, FIRST)]
    met.append(report("repeated sync / aws s3 sync, CPU", again, REPEATED))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
