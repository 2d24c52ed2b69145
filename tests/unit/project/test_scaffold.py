"""The file that ``pcinfra init`` writes, and the schema of it."""

from __future__ import annotations

import itertools
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pcinfra.project import Association, Bucket, Cluster, Image, Prerequisites, Project, Queue
from pcinfra.project.load import parse
from pcinfra.project.scaffold import WIDTH, scaffold
from pcinfra.project.schema import schema
from pcinfra.project.section import Section

SECTIONS = [kind for kind in Section.__subclasses__() if kind.__module__ == "pcinfra.project.model"]

TAG_TEXT = st.text(
    st.characters(categories=["Lu", "Ll", "Nd"], include_characters=" _.:/=+-@"), min_size=1, max_size=30
)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True)
EVENTS = st.permutations(["NEW", "CHANGED", "DELETED"]).map(lambda events: tuple(events[:2]))
ASSOCIATIONS = st.lists(NAMES, unique=True, max_size=8).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: st.builds(
                Association,
                path=st.just(f"/d/{name}"),
                prefix=st.just(f"d/{name}/"),
                auto_import=EVENTS,
                auto_export=EVENTS,
                batch_import=st.booleans(),
            )
            for name in names
        }
    )
)
QUEUES = st.lists(NAMES.filter(lambda name: name != "default"), unique=True, min_size=1, max_size=3).flatmap(
    lambda names: st.tuples(
        *(st.builds(Queue, name=st.just(name), min_nodes=st.integers(0, 9), max_nodes=st.just(9)) for name in names)
    )
)
PROJECTS = st.builds(
    Project,
    project=st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    tags=st.dictionaries(TAG_TEXT.filter(lambda key: ":" not in key), TAG_TEXT, max_size=5).filter(
        lambda tags: len({key.lower() for key in tags}) == len(tags)
    ),
    prerequisites=st.builds(Prerequisites, vpc_name=TAG_TEXT.filter(lambda name: name == name.strip())),
    bucket=st.builds(Bucket, old_versions_days=st.integers(1, 3650)),
    associations=ASSOCIATIONS,
    images=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9-]{0,29}", fullmatch=True),
        st.builds(Image, tag=st.from_regex(r"[a-z0-9_][a-zA-Z0-9._-]{0,9}", fullmatch=True)),
        min_size=1,
        max_size=3,
    ).map(
        lambda images: {
            n: i.model_copy(update={"repository": f"repository-{k}"}) for k, (n, i) in enumerate(images.items())
        }
    ),
    clusters=st.dictionaries(NAMES, st.builds(Cluster, queues=QUEUES), max_size=3),
)


def test_reads_back_as_the_defaults() -> None:
    assert parse(scaffold()) == Project()


@settings(deadline=None)
@given(PROJECTS)
def test_reads_back_as_the_project_that_it_was_made_of(project: Project) -> None:
    assert parse(scaffold(project)) == project


def test_names_every_setting() -> None:
    written = set(_keys(yaml.safe_load(scaffold())))
    assert {name for section in SECTIONS for name in section.model_fields} <= written


def test_every_setting_is_explained_above_its_first_line() -> None:
    lines = [line.strip().removeprefix("- ") for line in scaffold().splitlines()]
    for name in {name for section in SECTIONS for name in section.model_fields}:
        first = next(index for index, line in enumerate(lines) if line.startswith(f"{name}:"))
        assert lines[first - 1].startswith("# "), name


def test_every_field_has_a_description_once() -> None:
    for section in SECTIONS:
        assert section.__doc__, section
        for name, field in section.model_fields.items():
            nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            assert bool(field.description) is not nested, f"{section.__name__}.{name}"


def test_no_comment_is_wide() -> None:
    assert max(len(line) for line in scaffold().splitlines()) <= WIDTH + 10


def test_the_first_line_points_editors_at_the_schema() -> None:
    first, second = scaffold(schema=".pcinfra/schema.json").splitlines()[:2]
    assert first == "# yaml-language-server: $schema=.pcinfra/schema.json"
    assert second.startswith("# ")
    assert "$schema" not in scaffold()


def test_the_schema_is_one_and_accepts_the_scaffold() -> None:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    jsonschema.validate(yaml.safe_load(scaffold()), made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"projekt": "x"},
        {"region": 1},
        {"project": "My Team"},
        {"prerequisites": {"lustre": {"compression": "zstd"}}},
        {"images": {"a": {"keep": 0}}},
        {"clusters": {"a": {"queues": []}}},
        {"clusters": {"a": {"queues": [{"instance_type": "p5"}]}}},
        {"associations": {"a": {"path": "/a"}}},
    ],
)
def test_the_schema_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


def test_the_schema_shows_the_descriptions_and_no_made_up_titles() -> None:
    fields = schema()["$defs"]["Lustre"]["properties"]
    assert fields["capacity"]["description"].startswith("GiB")
    assert all("title" not in field for field in fields.values())


def _keys(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [*data, *itertools.chain.from_iterable(map(_keys, data.values()))]
    return [key for item in data for key in _keys(item)] if isinstance(data, list) else []
