"""Transfers that go well, and those that the world spoils."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from threading import Event

import pytest

from pcinfra.errors import AccessDenied, CredentialsError, Interrupted, Unreachable
from pcinfra.transfer import Filter, Meter, Summary, TransferPlan, plan_pull, plan_push, run, settle
from pcinfra.transfer.digest import MIB
from pcinfra.transfer.http import Request, Response
from pcinfra.transfer.listing import listing
from pcinfra.transfer.names import PARTIAL
from pcinfra.transfer.run import GIVE_UP, Mover
from pcinfra.transfer.scan import scan
from tests.unit.transfer.memory import Memory

EVERYTHING = Filter()
LARGE = 70 * MIB  # five parts


def planned_push(http: Memory, folder: Path, delete: bool = False) -> TransferPlan:
    found = scan(folder, EVERYTHING)
    return settle(plan_push(found, listing(http, "p/", EVERYTHING), "p/", delete=delete), folder)


def planned_pull(http: Memory, folder: Path, delete: bool = False) -> TransferPlan:
    found = scan(folder, EVERYTHING)
    return settle(plan_pull(found, listing(http, "p/", EVERYTHING), delete=delete), folder)


def carried_out(plan: TransferPlan, http: Memory, folder: Path) -> Summary:
    return run(plan, Mover(http, folder, "p/", Meter(len(plan.moves), plan.size)), threads=4)


def push(http: Memory, folder: Path, delete: bool = False) -> Summary:
    return carried_out(planned_push(http, folder, delete), http, folder)


def pull(http: Memory, folder: Path, delete: bool = False) -> Summary:
    return carried_out(planned_pull(http, folder, delete), http, folder)


@pytest.fixture
def http() -> Memory:
    return Memory()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def large(folder: Path) -> Path:
    file = folder / "large"
    with open(file, "wb") as stream:
        for number in range(LARGE // MIB):
            stream.write(bytes([number]) * MIB)
    return file


# --- there and back -------------------------------------------------------------------------------------------------


def test_there_and_back(http: Memory, folder: Path, tmp_path: Path) -> None:
    contents = {"a": b"1", "-rf": b"2", "new\nline/ü": b"3", "empty": b"", "q?*[": b"4"}
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    sent = push(http, folder)
    assert (sent.moved, sent.unverified, sent.problems) == (5, 0, [])
    assert {key: o.content for key, o in http.objects.items()} == {f"p/{n}": c for n, c in contents.items()}
    again = push(http, folder)
    assert (again.moved, again.same) == (0, 5)
    back = tmp_path / "back"
    back.mkdir()
    assert pull(http, back).moved == 5
    assert {name: (back / name).read_bytes() for name in contents} == contents
    assert pull(http, back).same == 5
    assert push(http, back).same == 5


def test_a_change_of_the_same_size_is_seen(http: Memory, folder: Path) -> None:
    (folder / "a").write_bytes(b"old")
    push(http, folder)
    (folder / "a").write_bytes(b"new")
    assert push(http, folder).moved == 1
    assert http.objects["p/a"].content == b"new"
    http.keep("p/a", b"now", age=-60)
    assert pull(http, folder).moved == 1
    assert (folder / "a").read_bytes() == b"now"


def test_deletions_both_ways(http: Memory, folder: Path) -> None:
    http.keep("p/extra", b"x")
    http.keep("p/folder/", b"")
    http.keep("elsewhere", b"x")
    (folder / "a").touch()
    assert push(http, folder, delete=True).deleted == 1
    assert set(http.objects) == {"p/a", "p/folder/", "elsewhere"}
    (folder / "sub").mkdir()
    (folder / "sub/mine").touch()
    assert pull(http, folder, delete=True).deleted == 1
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["a"]


# --- files that change ----------------------------------------------------------------------------------------------


def test_a_file_that_changes_once_is_sent_as_it_is_afterwards(folder: Path) -> None:
    file = large(folder)

    def change(request: Request) -> None:
        if memory.count("UploadPart") == 2 and request.operation == "UploadPart":
            file.write_bytes(b"z" * LARGE)

    memory = Memory(change)
    assert push(memory, folder).moved == 1
    assert memory.objects["p/large"].content == b"z" * LARGE


def test_a_file_that_always_changes_is_given_up(folder: Path) -> None:
    file = large(folder)
    http = Memory(lambda request: os.utime(file) if request.operation in ("UploadPart", "ListParts") else None)
    summary = push(http, folder)
    assert [problem.why for problem in summary.failures] == ["changes all the time while it is read"]
    assert "p/large" not in http.objects


def test_a_file_that_goes_away_is_no_failure(http: Memory, folder: Path) -> None:
    for name in "ab":
        (folder / name).touch()
    plan = planned_push(http, folder)
    (folder / "a").unlink()
    summary = carried_out(plan, http, folder)
    assert (summary.moved, summary.failures) == (1, [])
    assert [(p.name, p.harmless) for p in summary.problems] == [("a", True)]


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_file_that_becomes_something_else_is_not_sent(http: Memory, folder: Path, kind: str) -> None:
    (folder / "a").write_text("x")
    plan = planned_push(http, folder)
    (folder / "a").unlink()
    if kind == "pipe":
        os.mkfifo(folder / "a")
    else:
        (folder / "a").symlink_to("/etc/passwd")
    assert carried_out(plan, http, folder).moved == 0
    assert not http.objects


def test_an_object_that_changes_is_not_mixed(http: Memory, folder: Path) -> None:
    http.keep("p/a", b"old")
    plan = planned_pull(http, folder)
    http.keep("p/a", b"new")
    summary = carried_out(plan, http, folder)
    assert "changed in S3" in summary.failures[0].why
    assert not (folder / "a").exists()
    assert pull(http, folder).moved == 1


def test_an_object_that_goes_away_is_no_failure(http: Memory, folder: Path) -> None:
    http.keep("p/a", b"old")
    plan = planned_pull(http, folder)
    del http.objects["p/a"]
    summary = carried_out(plan, http, folder)
    assert (summary.moved, summary.failures) == (0, [])


# --- going on after a kill ------------------------------------------------------------------------------------------


def test_parts_that_are_there_are_not_sent_again(folder: Path) -> None:
    file = large(folder)

    def cut(request: Request) -> None:
        if request.operation == "UploadPart" and int(request.query["partNumber"]) > 3:
            raise Unreachable("the line is dead")

    http = Memory(cut)
    assert [problem.why for problem in push(http, folder).failures] == ["the line is dead"]
    http.before = lambda _: None
    http.requests.clear()
    summary = push(http, folder)
    assert (summary.moved, summary.reused_size) == (1, 3 * 16 * MIB)
    assert http.count("UploadPart") == 2
    assert http.objects["p/large"].content == file.read_bytes()


def test_parts_of_an_older_content_are_sent_again(folder: Path) -> None:
    file = large(folder)

    def cut(request: Request) -> None:
        if request.operation == "CompleteMultipartUpload":
            raise Unreachable("the line is dead")

    http = Memory(cut)
    push(http, folder)
    with open(file, "r+b") as stream:
        stream.write(b"changed")
    http.before = lambda _: None
    assert push(http, folder).reused_size == LARGE - 16 * MIB
    assert http.objects["p/large"].content == file.read_bytes()


def test_a_download_goes_on_at_its_last_byte(folder: Path) -> None:
    content = bytes(range(256)) * (3 * MIB // 256)
    http = Dying()
    http.keep("p/a", content)
    assert [problem.why for problem in pull(http, folder).failures] == ["the line is dead"]
    whole = Memory(objects=http.objects)
    summary = pull(whole, folder)
    assert (summary.moved, summary.reused_size) == (1, 2 * MIB)
    assert whole.requests[-1].headers["range"] == f"bytes={2 * MIB}-"
    assert (folder / "a").read_bytes() == content
    assert [file.name for file in folder.iterdir()] == ["a"]


class Dying(Memory):
    """Gives 2 MiB of an object and then nothing."""

    def GetObject(self, request: Request) -> Response:  # noqa: N802
        assert request.sink
        request.sink(self.objects[request.key].content[: 2 * MIB])
        raise Unreachable("the line is dead")


def test_two_downloads_of_one_object_do_not_mix(http: Memory, folder: Path) -> None:
    http.keep("p/a", b"content")

    def take(request: Request) -> None:
        if request.operation == "GetObject":
            [partial] = folder.glob(PARTIAL + "*")
            with open(partial, "rb") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    http.before = take
    assert pull(http, folder).moved == 1


# --- content that cannot be trusted ---------------------------------------------------------------------------------


def test_wrong_content_never_becomes_a_file(http: Memory, folder: Path) -> None:
    (folder / "a").write_text("mine")
    http.keep("p/a", b"right content")
    http.spoil = lambda content: b"wr0ng content"
    summary = pull(http, folder)
    assert "its checksum differs" in summary.failures[0].why
    assert (folder / "a").read_text() == "mine"
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_what_kms_hides_is_said_to_be_unverified(http: Memory, folder: Path) -> None:
    http.keep("p/a", b"content", etag="f" * 32)
    http.headers = {"x-amz-server-side-encryption": "aws:kms"}
    summary = pull(http, folder)
    assert (summary.moved, summary.unverified) == (1, 1)


def test_nothing_leaves_the_directory(http: Memory, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "victim")
    for key in ("p/link/x", "p/file", "p/../outside/y", "p//etc/x"):
        http.keep(key, b"evil")
    summary = pull(http, folder)
    assert sorted(outside.iterdir()) == [outside / "victim"]
    assert (outside / "victim").read_text() == "safe"
    assert (folder / "file").read_text() == "evil"  # the link itself was replaced
    assert {problem.name for problem in summary.failures} == {"link/x", "../outside/y", "/etc/x"}


def test_a_directory_and_a_file_in_each_others_place(http: Memory, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "b").write_text("x")
    http.keep("p/a", b"x")
    http.keep("p/b/c", b"x")
    whys = {problem.name: problem.why for problem in pull(http, folder).failures}
    assert whys == {
        "a": "a directory is where it should be",
        "b/c": "a file or a symbolic link is where its directory should be",
    }


# --- S3 that refuses ------------------------------------------------------------------------------------------------


def test_one_refusal_does_not_stop_the_others(folder: Path) -> None:
    for number in range(5):
        (folder / f"{number}").touch()

    def refuse(request: Request) -> None:
        if request.key == "p/3":
            raise AccessDenied("not for you")

    summary = push(Memory(refuse), folder)
    assert (summary.moved, [p.name for p in summary.failures]) == (4, ["3"])


def test_many_refusals_stop_it(folder: Path) -> None:
    for number in range(10 * GIVE_UP):
        (folder / f"{number}").touch()

    def refuse(request: Request) -> None:
        if request.operation == "PutObject":
            raise AccessDenied("not for you")

    http = Memory(refuse)
    summary = push(http, folder)
    assert len(summary.failures) == 10 * GIVE_UP
    assert http.count("PutObject") < 2 * GIVE_UP


def test_credentials_that_end_stop_it_at_once(folder: Path) -> None:
    for number in range(100):
        (folder / f"{number}").touch()

    def refuse(request: Request) -> None:
        if request.operation == "PutObject":
            raise CredentialsError("expired")

    http = Memory(refuse)
    with pytest.raises(CredentialsError, match="expired"):
        push(http, folder)
    assert http.count("PutObject") < 10


def test_ctrl_c_says_how_to_go_on(folder: Path) -> None:
    for number in range(100):
        (folder / f"{number}").touch()

    def press(request: Request) -> None:
        if memory.count("PutObject") == 50:
            raise KeyboardInterrupt

    memory = Memory(press)
    with pytest.raises(Interrupted, match="the same command again"):
        push(memory, folder)
    memory.before = lambda _: None
    push(memory, folder)
    assert len(memory.objects) == 100


def test_ctrl_c_does_not_wait_for_the_end_of_a_large_file(folder: Path) -> None:
    large(folder)
    (folder / "small").touch()
    begun = Event()

    def press(request: Request) -> None:
        if request.key == "p/small":
            begun.wait(10)
            raise KeyboardInterrupt
        if request.operation == "UploadPart":
            begun.set()
            pressed.wait(10)

    memory = Memory(press)
    plan = planned_push(memory, folder)
    mover = Mover(memory, folder, "p/", Meter(2, LARGE))
    pressed = mover.meter.stop
    with pytest.raises(Interrupted):
        run(plan, mover, threads=2)
    assert memory.count("UploadPart") == 1
