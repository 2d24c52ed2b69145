"""Checkpoints that are complete or not there, whatever is killed whenever. Without torch."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcinfra import resume

MODULE = Path(resume.__file__)

# Makes checkpoints without end, alone or as one of several ranks, and says so when one is made.
CHILD = """
import os, random, sys, time
sys.path.insert(0, sys.argv[1])
import resume
run = resume.Run(keep=2)
def write(place):
    for number in range(3):
        with open(place / f"{run.group.rank}.{number}", "wb") as file:
            for _ in range(random.randint(1, 4)):
                file.write(os.urandom(random.randint(0, 40_000)))
found = run.newest()
step = found.step if found else 0
print("from", step, flush=True)
while True:
    step += 1
    run.save(step, write, shards=True)
    print("made", step, flush=True)
"""


def writer(**files: bytes) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        for name, content in files.items():
            (place / name).write_bytes(content)

    return write


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_what_was_saved_is_found(tmp_path: Path) -> None:
    checkpoints = resume.Checkpoints(tmp_path / "new", keep=2)
    assert checkpoints.newest() is None
    made = checkpoints.save(7, writer(a=b"x", b=b""), meta={"loss": 0.5})
    assert checkpoints.newest() == made == resume.Checkpoint(7, tmp_path / "new/step-7", {"loss": 0.5})
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert {name: each["size"] for name, each in manifest["files"].items()} == {"a": 1, "b": 0}


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    checkpoints = resume.Checkpoints(tmp_path, keep=2)
    for step in (1, 9, 10, 100):
        checkpoints.save(step, writer(a=b"x"))
    assert names(tmp_path) == ["step-10", "step-100"]


def test_folders_in_a_checkpoint_are_part_of_it(tmp_path: Path) -> None:
    def write(place: Path) -> None:
        (place / "shards/0").mkdir(parents=True)
        (place / "shards/0/state").write_bytes(b"abc")

    checkpoints = resume.Checkpoints(tmp_path)
    made = checkpoints.save(1, write)
    assert resume.read(made.path) == made
    (made.path / "shards/0/state").write_bytes(b"abd")
    assert checkpoints.newest() is None


def cut(place: Path) -> None:
    (place / "a").write_bytes(b"x" * 99)


def flip(place: Path) -> None:
    (place / "a").write_bytes(b"x" * 50 + b"y" + b"x" * 49)


def damage_manifest(text: str) -> Callable[[Path], object]:
    return lambda place: (place / "manifest.json").write_text(text)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        lambda place: (place / "a").unlink(),
        lambda place: (place / "manifest.json").unlink(),
        *map(damage_manifest, ["", "{}", "[]", "null", '{"step": 3, "meta": {}, "files": 1}']),
        damage_manifest('{"step": 2, "meta": {}, "files": {}}'),
        damage_manifest('{"step": 3, "meta": {}, "files": {"a": 1}}'),
    ],
)  # fmt: skip
def test_a_damaged_one_is_passed_over(
    tmp_path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = resume.Checkpoints(tmp_path)
    for step in (2, 3):
        checkpoints.save(step, writer(a=b"x" * 100))
    damage(tmp_path / "step-3")
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 2
    assert "step-3" in capsys.readouterr().err
    checkpoints.save(3, writer(a=b"z"))  # and can be made again
    assert resume.read(tmp_path / "step-3").step == 3
    assert names(tmp_path) == ["step-2", "step-3"]


def test_good_ones_are_not_forgotten_for_damaged_ones(tmp_path: Path) -> None:
    checkpoints = resume.Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, writer(a=b"x"))
    (tmp_path / "step-5").mkdir()
    (tmp_path / "other").mkdir()
    checkpoints.save(2, writer(a=b"x"))
    assert names(tmp_path) == ["other", "step-2", "step-5"]


def test_a_complete_one_is_left_as_it_is(tmp_path: Path) -> None:
    checkpoints = resume.Checkpoints(tmp_path)
    checkpoints.save(1, writer(a=b"first"))
    checkpoints.save(1, writer(a=b"second"))
    assert (tmp_path / "step-1/a").read_bytes() == b"first"


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    checkpoints = resume.Checkpoints(tmp_path)
    checkpoints.save(1, writer(a=b"x"))

    def broken(place: Path) -> None:
        (place / "a").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(2, broken)
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 1
    checkpoints.save(3, writer(a=b"x"))
    assert names(tmp_path) == ["step-1", "step-3"]


@pytest.mark.parametrize("step", [-1, 1.5, "../x", 10**18])
def test_a_step_is_a_number(tmp_path: Path, step: Any) -> None:
    with pytest.raises(ValueError, match="a step is a number"):
        resume.Checkpoints(tmp_path).save(step, writer())


def test_at_least_one_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        resume.Checkpoints(tmp_path, keep=0)


def test_what_a_later_attempt_writes_is_let_alone(tmp_path: Path) -> None:
    for name in (".new-1-step-9-aa", ".new-2-step-9-aa", ".new-3-step-9-bb", ".old-2-step-1-cc"):
        (tmp_path / name).mkdir()
    resume.Checkpoints(tmp_path, attempt=2).save(1, writer(a=b"x"))
    assert names(tmp_path) == [".new-3-step-9-bb", "step-1"]


file_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..", "manifest.json") and len(name.encode()) < 200)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(file_names, st.binary(max_size=200), max_size=4))
def test_any_files_come_back(tmp_path: Path, files: dict[str, bytes]) -> None:
    place = tmp_path / os.urandom(8).hex()
    made = resume.Checkpoints(place).save(1, writer(**files))
    found = resume.Checkpoints(place).newest()
    assert found == made
    assert {name: (made.path / name).read_bytes() for name in files} == files


def ranks(folder: Path, size: int, work: Callable[[resume.Group], Any]) -> list[Any]:
    groups = [resume.FileGroup(folder, rank, size, patience=30) for rank in range(size)]
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, groups))


def test_rank_0_decides(tmp_path: Path) -> None:
    def work(group: resume.Group) -> list[object]:
        return [group.share(f"{group.rank}"), group.agree(group.rank == 2), group.agree(False)]

    assert ranks(tmp_path, 4, work) == [["0", True, False]] * 4
    assert len(names(tmp_path)) == 4  # those of the last turn


def test_ranks_that_do_not_come_are_named(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="rank 1 has not come"):
        resume.FileGroup(tmp_path, 0, 2, patience=0.01).share("")


def test_every_rank_writes_its_shard(tmp_path: Path) -> None:
    def work(group: resume.Group) -> tuple[resume.Checkpoint, resume.Checkpoint | None]:
        checkpoints = resume.Checkpoints(tmp_path / "c", group=group)
        made = checkpoints.save(4, writer(**{f"shard-{group.rank}": b"x" * group.rank}), shards=True)
        return made, checkpoints.newest()

    for made, found in ranks(tmp_path / "meet", 3, work):
        assert made == found
        assert names(made.path) == ["manifest.json", "shard-0", "shard-1", "shard-2"]


def test_without_shards_rank_0_alone_writes(tmp_path: Path) -> None:
    def work(group: resume.Group) -> int:
        calls: list[Path] = []
        resume.Checkpoints(tmp_path / "c", group=group).save(1, calls.append)
        return len(calls)

    assert ranks(tmp_path / "meet", 3, work) == [1, 0, 0]


def test_the_environment_of_a_job_is_understood(tmp_path: Path) -> None:
    stop = tmp_path / "stop.1"
    environ = {
        "PCINFRA_RUN_DIR": str(tmp_path), "PCINFRA_RUN": "r", "PCINFRA_ATTEMPT": "1",
        "PCINFRA_STOP_FILE": str(stop), "PCINFRA_CHECKPOINTS": str(tmp_path / "c"),
    }  # fmt: skip
    run = resume.Run(environ=environ)
    assert not run.stopping()
    stop.touch()
    assert run.stopping()
    run.save(5, writer(a=b"x"))
    assert (tmp_path / "c/step-5").is_dir()
    line = json.loads((tmp_path / "checkpoints.jsonl").read_text())
    assert (line["attempt"], line["step"]) == (1, 5)
    assert not (tmp_path / "DONE").exists()
    run.done()
    assert (tmp_path / "DONE").exists()


def test_without_a_job_it_works_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = resume.Run(environ={})
    run.save(1, writer(a=b"x"))
    run.done()
    assert not run.stopping()
    assert names(tmp_path) == ["checkpoints"]


def test_ranks_without_a_job_must_say_how_they_meet(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="give Run a group"):
        resume.find_group(tmp_path, {"RANK": "0", "WORLD_SIZE": "2"})


def test_the_copy_in_the_image_is_the_same() -> None:
    from pcinfra import assets

    assert (assets.folder("containers") / "pytorch/resume.py").read_text() == MODULE.read_text()


def start(place: Path, size: int, attempt: int) -> list[subprocess.Popen[str]]:
    (place / "alone").mkdir(exist_ok=True)
    (place / "alone/resume.py").write_text(MODULE.read_text())  # nothing else of pcinfra is in reach
    shared = {"PATH": os.environ["PATH"], "PCINFRA_CHECKPOINTS": str(place / "c"), "PCINFRA_ATTEMPT": str(attempt)}
    return [
        subprocess.Popen(
            [sys.executable, "-I", "-c", CHILD, place / "alone"],
            env=shared | {"RANK": str(rank), "WORLD_SIZE": str(size)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


@pytest.mark.parametrize(("size", "kills"), [(1, 20), (3, 10)], ids=["one process", "three ranks"])
def test_kill_9_at_any_moment_costs_at_most_the_save_under_way(tmp_path: Path, size: int, kills: int) -> None:
    chance = random.Random(os.urandom(8))
    known = 0
    for attempt in range(kills):
        processes = start(tmp_path, size, attempt)
        first = processes[0].stdout
        assert first is not None
        line = first.readline().split()
        assert line[0] == "from"
        assert int(line[1]) >= known
        if attempt % 2:  # half of them are killed some time after a save, whatever the machine does meanwhile
            known = max(known, int(first.readline().split()[1]))
        time.sleep(chance.uniform(0, 0.08))
        for process in chance.sample(processes, size):
            process.kill()
        told = [process.communicate(timeout=60)[0].split() for process in processes]
        known = max([known, *(int(words[-1]) for words in told if words)])
        found = resume.Checkpoints(tmp_path / "c").newest()
        assert (found.step if found else 0) >= known
        known = found.step if found else 0
    assert known > 0
    resume.Checkpoints(tmp_path / "c", keep=1, attempt=kills).save(known + 1, writer(a=b"x"))
    left = names(tmp_path / "c")
    assert left[-1] == f"step-{known + 1}"
    assert len(left) == (1 if size == 1 else 2)  # nothing of any save that was killed; one place where ranks met
