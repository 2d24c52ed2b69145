"""Overrides laid over a configuration: any text stays text, comments stay, each value knows where it is from."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.clusters import tree
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.overrides import lay_over
from pcinfra.clusters.render import render, rendered
from pcinfra.clusters.sources import key_of
from pcinfra.project import SHAPES, Cluster

KEYS = st.text(min_size=1, max_size=12)
LEAVES = st.text(max_size=20) | st.integers(-(2**40), 2**40) | st.booleans() | st.floats(allow_nan=False)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@pytest.fixture(scope="module")
def text(inputs: ClusterInputs) -> str:
    return render("train", Cluster.model_validate({"shape": "mixed", "login_nodes": {"count": 1}}), inputs)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_read_is_written_as_it_was(shape: str, inputs: ClusterInputs) -> None:
    made = render("train", Cluster.model_validate({"shape": shape}), inputs)
    assert tree.write(*tree.read(made)) == made


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_any_new_value_reads_back_as_it_was_given(text: str, over: dict[str, Any]) -> None:
    before = yaml.safe_load(text)
    new = {key: value for key, value in over.items() if key not in before}
    after = yaml.safe_load(lay_over(text, new)[0])
    assert after == before | new


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["Name", "Key", "Value", "Script"]))
def test_hostile_text_deep_inside_changes_nothing_else(text: str, value: str, key: str) -> None:
    over = {"HeadNode": {"Networking": {"Proxy": {key: value}}}}
    before = yaml.safe_load(text)
    after = yaml.safe_load(lay_over(text, over)[0])
    assert after["HeadNode"]["Networking"].pop("Proxy") == {key: value}
    assert after == before


def test_lists_are_merged_by_what_names_their_entries(text: str) -> None:
    over = {
        "Scheduling": {
            "SlurmQueues": [{"Name": "cpu", "CapacityType": "SPOT"}, {"Name": "more", "ComputeResources": []}],
            "SlurmSettings": {"CustomSlurmSettings": [{"KillWait": 30}, {"MaxJobCount": 5}]},
        },
        "HeadNode": {"Networking": {"SecurityGroups": ["sg-1"]}},
        "Tags": [{"Key": "pcinfra:project", "Value": "other"}, {"Key": "a", "Value": "1"}],
    }
    made, origins = lay_over(text, over)
    found = yaml.safe_load(made)
    queues = found["Scheduling"]["SlurmQueues"]
    assert [(queue["Name"], queue.get("CapacityType")) for queue in queues] == [
        ("gpu", "ONDEMAND"), ("cpu", "SPOT"), ("more", None),
    ]  # fmt: skip
    assert found["Scheduling"]["SlurmSettings"]["CustomSlurmSettings"] == [{"KillWait": 30}, {"MaxJobCount": 5}]
    assert found["HeadNode"]["Networking"]["SecurityGroups"] == ["sg-1"]
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "pcinfra:project": "other", "pcinfra:stage": "cluster", "a": "1",
    }  # fmt: skip
    place = key_of(("Scheduling", "SlurmQueues", 1, "CapacityType"), "train", origins)
    assert place == ("clusters", "train", "overrides", "Scheduling", "SlurmQueues", 0, "CapacityType")
    assert "SPOT  # from overrides" in made


def test_null_takes_a_key_away_and_the_reasons_of_the_rest_stay(text: str) -> None:
    made, origins = lay_over(text, {"Imds": None, "HeadNode": {"Imds": {"Secured": False}}})
    assert "Imds" not in yaml.safe_load(made)
    assert key_of(("Imds",), "train", origins) == ("clusters", "train", "overrides", "Imds")
    assert "  # an update lets running jobs end" in made
    assert "Secured: false  # from overrides" in made


def test_without_overrides_nothing_is_read_at_all(inputs: ClusterInputs) -> None:
    assert rendered("train", Cluster(), inputs).origins == {}


def test_a_value_that_says_the_same_is_not_from_overrides(text: str) -> None:
    assert lay_over(text, {"Scheduling": {"Scheduler": "slurm"}}) == (text, {})
