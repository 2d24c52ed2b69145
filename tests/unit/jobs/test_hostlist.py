"""Slurm's hostlists; the expectations are what scontrol show hostnames prints."""

from __future__ import annotations

import pytest

from pcinfra.jobs.slurm.hostlist import expand

CASES = {
    "": [],
    "n1": ["n1"],
    "n[1-3]": ["n1", "n2", "n3"],
    "n[1,3,7-8]": ["n1", "n3", "n7", "n8"],
    "n[08-11]": ["n08", "n09", "n10", "n11"],
    "gpu-st-p5-[1-2],cpu-dy-c7i-[10,12]": ["gpu-st-p5-1", "gpu-st-p5-2", "cpu-dy-c7i-10", "cpu-dy-c7i-12"],
    "a[1-2]b[3-4]": ["a1b3", "a1b4", "a2b3", "a2b4"],
    "n[1-2],m": ["n1", "n2", "m"],
    "(null)": ["(null)"],
    "n[1-1000]": [f"n{number}" for number in range(1, 1001)],
    "n[1-99999999999]": ["n1-99999999999"],
    "n[1-60000][1-60000]": ["n[1-60000][1-60000]"],
    "n[\u0663-\u0665]": ["n\u0663-\u0665"],
}


@pytest.mark.parametrize("text", CASES)
def test_is_written_out(text: str) -> None:
    assert expand(text) == CASES[text]
