"""What every builder of the registry must do, whatever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.doors import Doors
from pcinfra.errors import PcinfraError
from pcinfra.images import IMAGE, Order, builders
from pcinfra.images.builders.engine import Engine
from pcinfra.images.model import Builder
from pcinfra.project.model import ImageBuilder
from pcinfra.shell import Subprocess

BUILDERS = pytest.mark.parametrize("builder", builders.REGISTRY, ids=lambda builder: builder.name)
ENGINES = pytest.mark.parametrize(
    "engine", [b for b in builders.REGISTRY if isinstance(b, Engine)], ids=lambda engine: engine.name
)
ORDER = Order(
    "x", "team/x", "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/x", ("context-0", "latest"), "builtin:pytorch",
    "0" * 64, 20, "p", "bucket-of-p", family=(("team/x", "builtin:pytorch"),),
)  # fmt: skip


def test_the_project_file_knows_every_builder() -> None:
    """``record`` is nobody's choice: it is what the local cloud has."""
    assert set(get_args(ImageBuilder)) == {builders.AUTO, *(b.name for b in builders.REGISTRY)} - {"record"}
    assert len({builder.name for builder in builders.REGISTRY}) == len(builders.REGISTRY)


@BUILDERS
def test_it_is_found_by_its_name(builder: Builder) -> None:
    assert builders.named(builder.name) == builder


@BUILDERS
def test_what_it_does_ends_with_the_image(builder: Builder) -> None:
    actions = builder.publish(ORDER, "because")
    assert actions[-1].id == f"{IMAGE}x"
    assert actions[-1].what == "image x:context-0"
    assert all(action.stage == "image" and action.what and action.why for action in actions)
    again = builders.named(builder.name).publish(replace(ORDER), "because")
    assert (again, repr(again)) == (actions, repr(actions))  # a plan file compares what an Action writes
    assert " at 0x" not in repr(actions)
    last = actions[-1].after | {before for action in actions for before in action.after}
    assert {action.id for action in actions[:-1]} <= last


@BUILDERS
def test_only_what_works_here_builds_without_pushing(builder: Builder) -> None:
    assert bool(builder.build(ORDER, "because")) == builder.here


@BUILDERS
def test_on_the_local_cloud_an_image_is_its_manifest_whoever_is_asked_for(
    builder: Builder, local_target: Target
) -> None:
    doors = Doors(Aws(local_target), Subprocess(), local_target)
    assert builders.choose(doors, builder.name).name == "record"


def test_where_no_engine_runs_codebuild_is_chosen(
    local_target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = Target("us-east-1", local_target.endpoint, credentials=local_target.credentials)
    assert builders.choose(Doors(Aws(target), Subprocess(), target)).name == "codebuild"


def test_nothing_is_recorded_in_a_real_registry(local_target: Target) -> None:
    target = Target("us-east-1", local_target.endpoint, credentials=local_target.credentials)
    doors = Doors(Aws(target), Subprocess(), target)
    assert builders.choose(doors).name != "record"
    with pytest.raises(PcinfraError, match="takes images, not records"):
        builders.named("record").publish(ORDER, "because")[-1].operation.start(doors, {})


@ENGINES
def test_an_engine_keeps_credentials_in_the_private_folder_only(engine: Engine, tmp_path: Path) -> None:
    program = engine.program
    login, push = program.login("registry", "AWS", tmp_path), program.push("image", tmp_path)
    assert "--password-stdin" in login
    assert not [word for word in login if word.startswith(("--password=", "-p"))]
    for command in (login, push):
        assert any(str(tmp_path) in word for word in command)


@ENGINES
def test_an_engine_that_is_not_installed_says_so(
    engine: Engine, local_target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    doors = Doors(Aws(local_target), Subprocess(), local_target)
    assert engine.why_not(doors) == f"{engine.name} is not installed"


@ENGINES
def test_an_engine_that_does_not_run_says_its_last_words(
    engine: Engine, local_target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / engine.name
    program.write_text("#!/bin/sh\necho 'cannot connect to the daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    doors = Doors(Aws(local_target), Subprocess(), local_target)
    assert engine.why_not(doors) == f"`{engine.name} info`: cannot connect to the daemon"
