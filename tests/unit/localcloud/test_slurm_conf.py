from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.errors import PcinfraError
from pcinfra.localcloud.slurm import conf
from pcinfra.localcloud.slurm.spec import Node, Partition, Spec
from tests.local.slurm.clusters import config, spec_of

GOLDEN = Path(__file__).parents[2] / "golden" / "slurm"
PLACE = conf.Place(controller="ip-10-0-0-10(10.0.0.10)", run="/run/slurm")


def large() -> Spec:
    """Two queues, three types, a user's settings."""
    content = config(2, 2, JobExclusiveAllocation=True)
    content["Scheduling"]["SlurmSettings"] = {
        "EnableMemoryBasedScheduling": True,
        "CustomSlurmSettings": [{"KillWait": 90}, {"MaxArraySize": 5000}, {"slurmdtimeout": 300}],
    }
    mixed = {
        "Name": "mixed",
        "Instances": [{"InstanceType": "p4d.24xlarge"}, {"InstanceType": "g6e.12xlarge"}],
        "MinCount": 1,
        "MaxCount": 1,
        "DisableSimultaneousMultithreading": True,
        "CustomSlurmSettings": {"Boards": 1},
    }
    cpu = {"Name": "cpu", "InstanceType": "m5.8xlarge", "MinCount": 1, "MaxCount": 4, "SchedulableMemory": 1000}
    queue = {"Name": "other", "ComputeResources": [mixed, cpu], "CustomSlurmSettings": {"MaxTime": "2-00:00:00"}}
    content["Scheduling"]["SlurmQueues"].append(queue)
    content["Scheduling"]["SlurmQueues"].append({"Name": "empty", "ComputeResources": [{**cpu, "MinCount": 0}]})
    return spec_of(content, endpoint=5000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("slurm.conf", conf.slurm_conf(large(), PLACE)),
        ("gres.conf", conf.gres_conf(large().nodes, PLACE)),
        ("cgroup.conf", conf.cgroup_conf((22, 5))),
    ],
)
def test_files_are_as_committed(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ((21, 8), ""),
        ((23, 11), "CgroupPlugin=cgroup/v1\n"),
        ((24, 5), "CgroupPlugin=disabled\n"),
        ((25, 11), "CgroupPlugin=disabled\n"),
    ],
)
def test_slurm_is_told_to_leave_cgroups_alone_in_the_words_of_its_release(version: tuple[int, int], text: str) -> None:
    assert conf.cgroup_conf(version) == text


def test_what_a_cluster_stands_on_cannot_be_set_by_its_configuration() -> None:
    spec = dataclasses.replace(large(), settings={"ProcTrackType": "proctrack/cgroup", "slurmUser": "nobody"})
    text = conf.slurm_conf(spec, PLACE)
    assert "proctrack/cgroup" not in text
    assert "nobody" not in text


def test_without_gpus_nothing_is_said_of_them() -> None:
    content = config(0)
    content["Scheduling"]["SlurmQueues"][0]["ComputeResources"] = [
        {"Name": "cpu", "InstanceType": "m5.8xlarge", "MinCount": 1, "MaxCount": 1}
    ]
    spec = spec_of(content)
    assert "gpu:" not in conf.slurm_conf(spec, PLACE)
    assert "GresTypes" not in conf.slurm_conf(spec, PLACE)
    assert conf.gres_conf(spec.nodes, PLACE) == ""


def test_first_queue_is_the_default_one() -> None:
    lines = [line for line in conf.slurm_conf(large(), PLACE).splitlines() if line.startswith("PartitionName")]
    assert ["Default=YES" in line for line in lines] == [True, False, False]


HOSTILE = st.text(alphabet=st.sampled_from("a1-_.=,;#\"'\\ \t\n\r\0$`/é["), min_size=1, max_size=12)


def parsed(text: str) -> list[dict[str, str]]:
    """Read slurm.conf as Slurm does: one statement a line, ``#`` begins a comment, words are KEY=VALUE."""
    lines = [line.split("#")[0].split() for line in text.split("\n")]
    return [dict(word.split("=", 1) for word in words) for words in lines if words]


@given(name=HOSTILE, queue=HOSTILE, feature=HOSTILE, option=HOSTILE, value=HOSTILE)
def test_whatever_is_accepted_is_read_back_as_it_was_meant(
    name: str, queue: str, feature: str, option: str, value: str
) -> None:
    def build() -> Spec:
        node = Node(name, "10.0.0.2", cpus=1, memory=1, features=(feature,), settings={option: value})
        head = Node("ip-10-0-0-1", "10.0.0.1")
        return Spec("c", "ubuntu", head, (node,), (Partition(queue, (name,)),), settings={"KillWait": value})

    try:
        spec = build()
    except PcinfraError:
        return
    statements = parsed(conf.slurm_conf(spec, PLACE))
    nodes = [each for each in statements if "NodeName" in each]
    partitions = [each for each in statements if "PartitionName" in each]
    assert [each["NodeName"] for each in nodes] == [name]
    assert nodes[0]["Feature"] == feature
    assert nodes[0][option] == value
    assert [(each["PartitionName"], each["Nodes"]) for each in partitions] == [(queue, name)]
    assert {"KillWait": value} in statements


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"user": "root x"},
        {"user": "../x"},
        {"shared": ("/home", "/etc")},
        {"shared": ("/home", "/usr/share/data")},
        {"shared": ("/home", "lustre")},
        {"shared": ("/home", "/a/../etc")},
        {"shared": ("/home", "/")},
        {"shared": ("/home", "/lus tre")},
        {"shared": ("/home", "/opt/slurm/etc")},
        {"settings": {"KillWait": "1\nSlurmUser=root"}},
        {"settings": {"KillWait\nX": "1"}},
        {"settings": {"KillWait": ""}},
        {"environment": {"A=B": "1"}},
        {"environment": {"A": "1\n2"}},
        {"head": Node("ip-10-0-0-10", "10.0.0.300")},
        {"head": Node("gpu-st-p5-1", "10.0.0.3")},
        {"head": Node("bridge", "10.0.0.3")},
        {"nodes": ()},
    ],
    ids=str,
)
def test_what_could_do_harm_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PcinfraError):
        dataclasses.replace(spec_of(config()), **change)


def test_a_description_survives_being_written() -> None:
    spec = dataclasses.replace(large(), environment={"A": "é'\"$"}, endpoint=4566)
    assert Spec.load(spec.dump()) == spec


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a-st-b-1"], "a-st-b-1"),
        (["a-st-b-1", "a-st-b-2", "a-st-b-3", "c-1"], "a-st-b-[1-3],c-1"),
        (["a-3", "a-1"], "a-[1,3]"),
    ],
)
def test_names_are_written_as_slurm_does(names: list[str], text: str) -> None:
    assert conf.hostlist(names) == text


def test_a_thousand_nodes_fit_into_a_line() -> None:
    names = [f"gpu-dy-p5-{number}" for number in range(1, 1001)]
    assert conf.hostlist(names) == "gpu-dy-p5-[1-1000]"


def test_without_anybody_to_start_them_dynamic_nodes_are_of_the_future() -> None:
    text = conf.slurm_conf(spec_of(config(1, 1)), PLACE)
    assert "State=FUTURE" in text
    assert "ResumeProgram" not in text
