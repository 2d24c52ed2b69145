"""Start-up: ``pcinfra --version`` and ``--help`` against ``pcluster version`` and ``aws --version``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import medians, report

BIN = Path(sys.executable).parent


def main() -> int:
    commands = {
        "pcinfra --version": [str(BIN / "pcinfra"), "--version"],
        "pcinfra --help": [str(BIN / "pcinfra"), "--help"],
        "pcluster version": [str(BIN / "pcluster"), "version"],
        "aws --version": [str(BIN / "aws"), "--version"],
    }
    seconds = medians(commands)
    for name, value in seconds.items():
        print(f"     {name}: {value * 1000:.0f} ms")
    met = []
    for ours in ("pcinfra --version", "pcinfra --help"):
        for peer, target in (("pcluster version", 0.10), ("aws --version", 0.25)):
            met.append(report(f"{ours} / {peer}", seconds[ours] / seconds[peer], target))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
