"""The schema check: what the server prunes, fills in and refuses. tests/kube compares it with a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pcinfra.errors import NotFound, PcinfraError, UsageError
from pcinfra.jobs.kubernetes.check import schemas_in
from pcinfra.jobs.kubernetes.dialect import Dialect, dialect_of
from pcinfra.jobs.kubernetes.schema import cel
from pcinfra.jobs.kubernetes.schema.admission import admit, dotted
from pcinfra.jobs.kubernetes.schema.crd import read_file, resource_of, resources_in
from pcinfra.jobs.kubernetes.schema.structural import Node
from pcinfra.jobs.kubernetes.versions import dialect
from tests.unit.jobs.kubernetes import crds

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]+$"},
                "count": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "either": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "maybe": {"type": "string", "nullable": True},
                "time": {"type": "string", "format": "date-time"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "step": {"type": "number", "multipleOf": 2},
                "not": {"type": "integer", "not": {"enum": [3]}},
                "list": {
                    "type": "array",
                    "maxItems": 3,
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "size": {"type": "integer", "default": 7}},
                    },
                },
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            },
        }
    },
}
ROOT = Node(SCHEMA)


def verdict(**spec: Any) -> tuple[dict[str, Any], list[str], list[str]]:
    done = admit(ROOT, {"kind": "X", "metadata": {"any": "thing"}, "spec": spec})
    return done.object["spec"], [f"{dotted(f.path)}: {f.why}" for f in done.faults], [dotted(p) for p in done.pruned]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({}, {"mode": "a"}),
        ({"mode": None}, {"mode": "a"}),
        ({"count": None}, {"mode": "a"}),
        ({"maybe": None}, {"maybe": None, "mode": "a"}),
        ({"other": 1}, {"mode": "a"}),
        ({"free": {"a": None}}, {"free": {"a": None}, "mode": "a"}),
        ({"list": [{"name": "a", "x": 1}]}, {"list": [{"name": "a", "size": 7}], "mode": "a"}),
        ({"map": {"a": 1, "b": None}}, {"map": {"a": 1}, "mode": "a"}),
    ],
)
def test_what_is_stored(given: dict[str, Any], stored: dict[str, Any]) -> None:
    assert verdict(name="a", **given)[0] == {"name": "a", **stored}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": 1}, "spec.name: must be text"),
        ({"list": [{"name": "a", "size": 2**63}]}, "spec.list[0].size: must be a whole number"),
        ({"name": "abcdef"}, "spec.name: must have at most 5 characters, and has 6"),
        ({"name": "A"}, "spec.name: 'A' does not match ^[a-z]+$"),
        ({"count": -1}, "spec.count: must be at least 0"),
        ({"count": 10}, "spec.count: must be at most 9"),
        ({"count": 1.5}, "spec.count: must be a whole number"),
        ({"count": True}, "spec.count: must be a whole number"),
        ({"mode": "c"}, "spec.mode: must be one of a, b"),
        ({"either": 1.5}, "spec.either: must be a whole number or text"),
        ({"time": "today"}, "spec.time: 'today' is not a time like 2026-01-31T12:00:00Z"),
        ({"list": {}}, "spec.list: must be a list"),
        ({"list": [{}]}, "spec.list[0].name: is required"),
        ({"list": [None]}, "spec.list[0]: must be a map"),
        ({"list": [{"name": "a"}, {"name": "a"}]}, "spec.list[1]: another item has the same name"),
        ({"list": [{"name": n} for n in "abcd"]}, "spec.list: must have at most 3 items, and has 4"),
        ({"set": ["a", "a"]}, "spec.set[1]: is there twice"),
        ({"map": {"a": "b"}}, "spec.map.a: must be a whole number"),
        ({"step": 3}, "spec.step: must be a multiple of 2"),
        ({"not": 3}, "spec.not: does not fit the schema"),
    ],
)
def test_what_is_refused(given: dict[str, Any], why: str) -> None:
    assert verdict(**{"name": "a", **given})[1] == [why]


def test_what_is_missing_and_what_is_dropped() -> None:
    assert verdict(x=1)[1:] == (["spec.name: is required"], ["spec.x"])


def test_a_rule_about_a_change_needs_both_values() -> None:
    root = Node({"type": "object", "properties": {"a": {"type": "integer", "x-kubernetes-validations": [
        {"rule": "self == oldSelf", "message": "field is immutable"}]}}})  # fmt: skip
    assert [f.why for f in admit(root, {"a": 1}, {"a": 2}).faults] == ["field is immutable"]
    assert (
        admit(root, {"a": 1}, {"a": 1}).faults == admit(root, {"a": 1}, {}).faults == admit(root, {"a": 1}).faults == ()
    )


# The rules of the CRDs, with values on both sides of each.
RULE_CASES: dict[str, list[Any]] = {
        "!(has(self.startupPolicy) && self.startupPolicy.startupPolicyOrder == 'InOrder' && "
        "self.replicatedJobs.exists(x, has(x.dependsOn)))": [
            {"startupPolicy": {"startupPolicyOrder": "InOrder"}, "replicatedJobs": [{"name": "a"}, {"dependsOn": []}]},
            {"startupPolicy": {"startupPolicyOrder": "AnyOrder"}, "replicatedJobs": [{"dependsOn": []}]},
            {"replicatedJobs": []},
        ],
        "self.templates.all(t, !has(t.metadata.namespace) || size(t.metadata.namespace) == 0)": [
            {"templates": [{"metadata": {"namespace": ""}}, {"metadata": {}}]},
            {"templates": [{"metadata": {"namespace": "a"}}]},
        ],
        "!(has(self.numNodes) && (has(self.torch) && has(self.torch.elasticPolicy)))": [
            {"numNodes": 1, "torch": {"elasticPolicy": {}}}, {"numNodes": 1, "torch": {}}, {"numNodes": 1}, {},
        ],
        "!(has(self.torch) && has(self.mpi))": [{"torch": {}, "mpi": {}}, {"torch": {}}, {}],
        "self > 0 || self in ['auto', 'cpu', 'gpu']": ["auto", "gpu", "banana", 8, 0, -1],
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')": [
            {"metadata": {"name": name}} for name in ("abc-1", "a", "1abc", "a-", "A", "a.b", "")
        ],
        "size(self.metadata.name) <= 63": [{"metadata": {"name": "a" * 63}}, {"metadata": {"name": "a" * 64}}],
        "self in ['trainer.kubeflow.org/trainjob-controller', 'kueue.x-k8s.io/multikueue']": [
            "x", "", "kueue.x-k8s.io/multikueue", "trainer.kubeflow.org/trainjob-controller",
        ],
        "[has(self.torch), has(self.mpi), has(self.jax), has(self.xgboost),has(self.flux)].filter(x, x).size() <= 1": [
            {"torch": {}}, {"torch": {}, "jax": {}}, {}, {"flux": {}, "mpi": {}, "jax": {}},
        ],
        "self >= 1": [0, 1, 7, -3],
        "!self.exists(c, c == 'node')": [["a", "node"], ["a"], []],
        "self == '' || self.matches('^[A-Za-z][A-Za-z0-9+.-]*://.+$')": ["s3://b/p", "", "b/p", "://x", "hf://", "1a://b"],
        "has(self.lastUpdatedTime)": [{}, {"lastUpdatedTime": "x"}],
}  # fmt: skip

# Rule, value, old value.
CASES: list[tuple[str, Any, Any]] = [
    ("self == oldSelf", {"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}),
    ("self == oldSelf", {"a": [1, {"b": "c"}]}, {"a": [1, {"b": "d"}]}),
    *((rule, value, None) for rule, values in RULE_CASES.items() for value in values),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "value", "old"), CASES)
def test_our_rules_say_what_a_cel_library_says(rule: str, value: Any, old: Any) -> None:
    import cel as library

    root = Node({"x-kubernetes-validations": [{"rule": rule}]})
    ours = not list(cel.broken(value, root, old))
    try:
        theirs = library.evaluate(rule, {"self": value} if old is None else {"self": value, "oldSelf": old})
    except Exception:  # an expression that fails rejects
        theirs = False
    assert ours is theirs


def test_every_rule_has_cases_of_both_verdicts() -> None:
    assert {rule for rule, _, _ in CASES} == cel.RULES.keys() | cel.TRANSITIONS.keys()
    for rule in {rule for rule, _, _ in CASES}:
        root = Node({"x-kubernetes-validations": [{"rule": rule}]})
        verdicts = {not list(cel.broken(value, root, old)) for each, value, old in CASES if each == rule}
        assert verdicts == {True, False}, rule


@crds.needed
def test_no_rule_of_the_crds_is_unknown() -> None:
    for resource in resources_in(crds.FOLDER):
        assert cel.unknown_rules(resource.root) == set(), resource.kind


def test_a_rule_that_is_not_known_is_named_and_left_to_the_server() -> None:
    root = Node({"type": "object", "x-kubernetes-validations": [{"rule": "self.x > 1"}]})
    assert cel.unknown_rules(root) == {"self.x > 1"}
    assert admit(root, {}).faults == ()


@crds.needed
@pytest.mark.parametrize(("version", "expected"), [("v2.1", Dialect.V2_1), ("v2.3", Dialect.V2_2)])
def test_the_version_is_told_from_the_crd(version: str, expected: Dialect) -> None:
    assert dialect_of(crds.resource(version, "TrainJob").root) is expected


def test_a_trainer_from_before_is_told_and_one_from_nowhere_refused() -> None:
    spec = {"type": "object", "properties": {"podSpecOverrides": {"type": "array"}}}
    assert dialect_of(Node({"type": "object", "properties": {"spec": spec}})) is Dialect.V2_0
    with pytest.raises(PcinfraError, match="not a Trainer that pcinfra knows"):
        dialect_of(Node({"type": "object"}))


WRITTEN = [("v2.1.0", Dialect.V2_1), ("2.1", Dialect.V2_1), ("v2.3", Dialect.V2_2), ("2.0", Dialect.V2_0)]


@pytest.mark.parametrize(("version", "expected"), WRITTEN)
def test_versions_as_users_write_them(version: str, expected: Dialect) -> None:
    assert dialect(version) is expected


@pytest.mark.parametrize("version", ["v1.9", "", "latest", "2"])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(UsageError, match="no version of the Trainer"):
        dialect(version)


@crds.needed
def test_a_crd_is_parsed_once_and_kept_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = crds.FOLDER / "training-operator-v1.8.1-pytorchjobs.yaml"
    (first,) = read_file(file)
    (kept,) = (tmp_path / "pcinfra" / "crds").iterdir()
    assert kept.name == f"{first.digest}.json"
    (second,) = read_file(file)
    assert second is first
    kept.write_text("broken")
    assert next(read_file(file)).kind == "PyTorchJob"


def test_folders_without_crds_and_with_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no such folder"):
        schemas_in(tmp_path / "none")
    with pytest.raises(NotFound, match="holds no CRD"):
        schemas_in(tmp_path)
    if crds.FOLDER.is_dir():
        with pytest.raises(UsageError, match="holds several CRDs of"):
            schemas_in(crds.FOLDER)


@pytest.mark.parametrize("crd", [{}, {"spec": {}}, {"spec": {"versions": []}}, {"spec": {"versions": [{"name": "a"}]}}])
def test_what_is_no_crd_is_refused(crd: dict[str, Any]) -> None:
    with pytest.raises(PcinfraError, match="is no CustomResourceDefinition"):
        resource_of(crd)


def test_numbers_that_the_operator_cannot_read_are_told() -> None:
    value = {"spec": {"name": "a", "count": 2**31, "list": [{"name": "a", "size": 2**31}]}}
    assert admit(ROOT, value).too_wide == ((("spec", "count"), "does not fit 32 bits", ""),)
