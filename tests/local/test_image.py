"""``pcinfra image``: on the local cloud, and with a real builder and a real registry where they are installed."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.cli.image import image
from pcinfra.doors import Doors
from pcinfra.errors import CommandFailed, MissingTool, NotFound, Refused
from pcinfra.images import Order, builders, context
from pcinfra.images.builders.engine import Build, BuildAndPush, Engine
from pcinfra.project import Image
from pcinfra.shell import Completed, Subprocess
from tests.account import Account
from tests.commands import run
from tests.local import registry as registries
from tests.local.registry import LOGIN, PASSWORD, Registry

NAME, FIRST = "team/training", "pytorch"


@dataclass
class Watched(Subprocess):
    """This machine's Shell; it notes every command and every line that was told."""

    commands: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.lines.append)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.commands.append(list(argv))
        return super().run(argv, **options)

    def stream(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Completed:
        self.commands.append(list(argv))
        return super().stream(argv, env=env, cwd=cwd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build context that needs no base image."""
    made = tmp_path / "context"
    made.mkdir()
    (made / "Dockerfile").write_text("FROM scratch\nCOPY hello /hello\n")
    (made / "hello").write_text("hello\n")
    return made


@pytest.fixture(params=["buildah", "podman"])
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, local_target: Target, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    """An engine that needs no daemon, with a storage, a home and a place for credentials of this test's own."""
    for name in ("home", "layers", "run", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/layers"\nrunroot = "{tmp_path}/run"\n'
    )
    (tmp_path / "containers.conf").write_text(f'[engine]\nlock_type = "file"\ntmp_dir = "{tmp_path}/run/libpod"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "containers.conf"))
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    found = builders.named(request.param)
    assert isinstance(found, Engine)
    why = found.why_not(Doors(Aws(local_target), Subprocess(), local_target))
    if why:
        pytest.skip(f"{why}: apt-get install {found.name}")
    return found


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    if not shutil.which(registries.PROGRAM):
        pytest.skip(f"no {registries.PROGRAM}: apt-get install {registries.PROGRAM}")
    folder = tmp_path / "registry"
    folder.mkdir()
    with registries.running(folder) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(found.certificate))
        yield found


def ordered(folder: Path, host: str, space: int = 0) -> Order:
    digest = context.digest(folder)
    return Order("pytorch", NAME, f"{host}/{NAME}", (f"context-{digest[:16]}", "latest"), str(folder), digest, space)


def doors(target: Target, shell: Subprocess) -> Doors:
    return Doors(Aws(target), shell, replace(target, registry=True))


def test_an_image_is_built_and_pushed_to_a_real_registry(
    engine: Engine, registry: Registry, folder: Path, local_target: Target
) -> None:
    order, shell = ordered(folder, registry.host), Watched()
    BuildAndPush(engine, order).start(doors(local_target, shell), {})
    assert registry.tags(NAME) == sorted(order.tags)
    body, digest = registry.get(f"{NAME}/manifests/latest")
    assert registry.get(f"{NAME}/manifests/{order.tags[0]}") == (body, digest)
    layers = [registry.get(f"{NAME}/blobs/{layer['digest']}")[0] for layer in json.loads(body)["layers"]]
    with tarfile.open(fileobj=io.BytesIO(layers[-1])) as layer:
        hello = layer.extractfile("hello")
        assert hello
        assert hello.read() == b"hello\n"
    assert any(line.startswith("STEP 1/2") for line in shell.lines)


def test_what_is_ignored_is_in_no_image_and_what_is_not_ignored_is(
    engine: Engine, registry: Registry, folder: Path, local_target: Target
) -> None:
    """The engine reads the same file as the digest, and reads it alike."""
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    for name in ("a.log", "logs/b.log", "logs/keep.log", "x/y/z.tmp", "temp1", "temp12"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".dockerignore").write_text("# ours\n*.log\nlogs\n!logs/keep.log\n**/*.tmp\ntemp?\n")
    (folder / ".containerignore").write_text("hello\n")
    order = ordered(folder, registry.host)
    BuildAndPush(engine, order).start(doors(local_target, Watched()), {})
    manifest = json.loads(registry.get(f"{NAME}/manifests/latest")[0])
    [layer] = [registry.get(f"{NAME}/blobs/{each['digest']}")[0] for each in manifest["layers"]]
    with tarfile.open(fileobj=io.BytesIO(layer)) as packed:
        found = {entry.name.removeprefix("./").lstrip("/") for entry in packed if entry.isfile()}
    assert found == {path.relative_to(folder).as_posix() for path in context.files(folder)}
    assert {"hello", "logs/keep.log", "temp12"} <= found


def test_what_was_built_is_not_built_again_until_a_file_changes(
    engine: Engine, registry: Registry, folder: Path, local_target: Target
) -> None:
    Build(engine, ordered(folder, registry.host)).start(doors(local_target, Watched()), {})
    again = Watched()
    Build(engine, ordered(folder, registry.host)).start(doors(local_target, again), {})
    assert again.lines == []
    (folder / "hello").write_text("goodbye\n")
    Build(engine, ordered(folder, registry.host)).start(doors(local_target, again), {})
    assert any(line.startswith("STEP 1/2") for line in again.lines)


def test_the_password_is_on_no_command_line_and_nowhere_afterwards(
    engine: Engine, registry: Registry, folder: Path, local_target: Target, tmp_path: Path
) -> None:
    shell = Watched()
    BuildAndPush(engine, ordered(folder, registry.host)).start(doors(local_target, shell), {})
    assert any("login" in command for command in shell.commands)
    assert not [command for command in shell.commands if any(PASSWORD in word for word in command)]
    assert list((tmp_path / "tmp").glob("pcinfra-*")) == []
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [path for path in files for secret in (LOGIN, PASSWORD.encode()) if secret in path.read_bytes()]


def test_a_registry_that_refuses_is_an_error_that_says_so(
    engine: Engine, registry: Registry, folder: Path, local_target: Target, tmp_path: Path
) -> None:
    (tmp_path / "registry" / "htpasswd").write_text("AWS:$2b$05$pcinfrapcinfrapcinfraubxnotit00000000000000000000000\n")
    later = os.stat(tmp_path / "registry" / "htpasswd").st_mtime + 10
    os.utime(tmp_path / "registry" / "htpasswd", (later, later))  # the registry reads it anew when it is newer
    with pytest.raises(CommandFailed, match=r"(?s)exit status 125.*(unauthorized|invalid username/password)"):
        BuildAndPush(engine, ordered(folder, registry.host)).start(doors(local_target, Watched()), {})
    assert list((tmp_path / "tmp").glob("pcinfra-*")) == []


def test_a_build_that_fails_ends_with_the_builders_last_lines(
    engine: Engine, folder: Path, local_target: Target
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY nothing-like-it /\n")
    with pytest.raises(CommandFailed, match=r"(?s)STEP 2/2.*nothing-like-it"):
        Build(engine, ordered(folder, "127.0.0.1:1")).start(doors(local_target, Watched()), {})


def test_where_the_disk_is_full_nothing_is_begun(engine: Engine, folder: Path, local_target: Target) -> None:
    shell = Watched()
    with pytest.raises(Refused, match=r"GB are free in .*/(layers|storage), and the image takes 1000000 GB"):
        Build(engine, ordered(folder, "127.0.0.1:1", space=1_000_000)).start(doors(local_target, shell), {})
    assert shell.lines == []


def test_the_command_builds_for_real_on_the_local_cloud_too(engine: Engine, folder: Path, account: Account) -> None:
    mine = with_context(account, folder)
    status, shown = run(image, mine, "build", "--builder", engine.name)
    assert status == 0
    names = shown.split()
    assert [name.rpartition(":")[2] for name in names] == [f"context-{context.digest(folder)[:16]}", "latest"]
    assert all(Subprocess().run(engine.program.exists(name)).status == 0 for name in names)
    assert Subprocess().run(engine.program.exists(f"{names[0]}-not")).status != 0


def with_context(account: Account, folder: Path) -> Account:
    """Return ``account`` with a project whose image is made of ``folder``."""
    settings = Image(repository=account.project.images["pytorch"].repository, context=str(folder), disk_space=0)
    return Account(account.target, account.project.model_copy(update={"images": {"pytorch": settings}}))


def test_pushed_once_it_is_listed_and_not_pushed_again(account: Account, folder: Path) -> None:
    mine = with_context(account, folder)
    assert run(image, mine, "list")[1] == "no images; to make one: pcinfra --local image push\n"
    status, shown = run(image, mine, "push", "--dry-run")
    assert "3 to" in shown or "2 to create, 1 to update" in shown
    status, shown = run(image, mine, "push")
    assert status == 0
    named = shown.split()[0]
    [row] = json.loads(run(image, mine, "list", "--output", "json")[1])
    assert named == f"{mine.project.images['pytorch'].repository}@{row['digest']}"
    assert row["tags"] == [f"context-{context.digest(folder)[:16]}", "latest"]
    assert row["findings"] is None
    assert run(image, mine, "push")[1] == "Nothing to change.\n"
    (folder / "hello").write_text("goodbye\n")
    run(image, mine, "push")
    rows = json.loads(run(image, mine, "list", "--output", "json")[1])
    assert [len(row["tags"]) for row in rows] in ([2, 1], [1, 2])
    assert "no findings known" in run(image, mine, "list")[1]


def test_a_return_to_older_files_moves_the_tag_back(account: Account, folder: Path) -> None:
    mine = with_context(account, folder)
    run(image, mine, "push")
    [first] = json.loads(run(image, mine, "list", "--output", "json")[1])
    (folder / "hello").write_text("goodbye\n")
    run(image, mine, "push")
    (folder / "hello").write_text("hello\n")
    run(image, mine, "push")
    rows = json.loads(run(image, mine, "list", "--output", "json")[1])
    assert {row["digest"] for row in rows if "latest" in row["tags"]} == {first["digest"]}
    assert run(image, mine, "push")[1] == "Nothing to change.\n"


def test_the_image_that_jobs_use_is_named_by_digest(account: Account, folder: Path) -> None:
    from pcinfra.stages.image import Image as Stage

    mine = with_context(account, folder)
    before = Stage().env(mine.project, mine.facts())["TRAINING_IMAGE_URI"]
    assert before.endswith(f"/{mine.project.images['pytorch'].repository}:latest")
    run(image, mine, "push")
    [row] = json.loads(run(image, mine, "list", "--output", "json")[1])
    after = Stage().env(mine.project, mine.facts())["TRAINING_IMAGE_URI"]
    assert after == before.removesuffix(":latest") + f"@{row['digest']}"


def test_the_local_cloud_says_that_it_scans_nothing(account: Account, folder: Path) -> None:
    mine = with_context(account, folder)
    run(image, mine, "push")
    status, shown = run(image, mine, "scan")
    assert (status, shown.split(": ")[1]) == (0, "no findings known\n")
    assert run(image, mine, "scan", "--fail-on", "high")[0] == 1
    with pytest.raises(NotFound, match="no image 'lates'"):
        run(image, mine, "scan", "--tag", "lates")


def test_nothing_can_be_pushed_to_the_local_cloud(account: Account, folder: Path) -> None:
    with pytest.raises(Refused, match="no registry to push to"):
        run(image, with_context(account, folder), "push", "--builder", "codebuild")


def test_a_builder_that_is_not_there_is_named(
    account: Account, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="podman is not installed"):
        run(image, with_context(account, folder), "build", "--builder", "podman")
