"""The pure parts of the CloudFormation engine: text, functions, parameters, schemas and order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

from pcinfra.localcloud.cfn import graph, intrinsics, parameters, rules, template, validate, yamlbody
from pcinfra.localcloud.cfn.differences import changed_paths, replacement
from pcinfra.localcloud.cfn.errors import CfnError, ResourceFailure
from pcinfra.localcloud.cfn.schema import SchemaStore


class Names:
    """A scope with fixed values."""

    def ref(self, name: str) -> Any:
        return {"Word": "w", "List": ["a", "b"], "AWS::NoValue": intrinsics.NO_VALUE}[name]

    def get_att(self, logical_id: str, attribute: str) -> Any:
        return f"{logical_id}/{attribute}"

    def condition(self, name: str) -> bool:
        return name == "Chosen"

    def mapping(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        return {"top": {"second": 7}}

    def zones(self, region: str) -> list[str]:
        return [f"{region or 'here'}-a"]

    def import_value(self, name: str) -> str:
        return f"imported {name}"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("!Ref Word", "w"),
        ("!GetAtt A.B.C", "A/B.C"),
        ("!GetAtt [A, !Ref Word]", "A/w"),
        ('!Sub "${Word}-${A.B}-${!Literal}"', "w-A/B-${Literal}"),
        ('!Sub ["${X}${Word}", {X: !Ref Word}]', "ww"),
        ('!Join ["-", [a, 1, true]]', "a-1-true"),
        ("!Split [',', 'a,b']", ["a", "b"]),
        ("!Select [1, !Ref List]", "b"),
        ("!Base64 abc", "YWJj"),
        ("!If [Chosen, a, b]", "a"),
        ("!If [Other, a, b]", "b"),
        ("!Equals [1, '1']", True),
        ("!Equals [true, 'true']", True),
        ("!And [!Condition Chosen, !Not [!Condition Other]]", True),
        ("!Or [!Condition Other, !Condition Other]", False),
        ("!FindInMap [M, top, second]", 7),
        ("Fn::FindInMap: [M, top, none, {DefaultValue: 3}]", 3),
        ("!GetAZs ''", ["here-a"]),
        ("!GetAZs eu-west-1", ["eu-west-1-a"]),
        ("!Cidr [10.0.0.0/16, 2, 8]", ["10.0.0.0/24", "10.0.1.0/24"]),
        ("!ImportValue x", "imported x"),
        ("Fn::ToJsonString: {a: [1, !Ref Word]}", '{"a":[1,"w"]}'),
        ("Fn::Length: !Ref List", 2),
        ("{a: !Ref AWS::NoValue, b: [!Ref AWS::NoValue, 1]}", {"b": [1]}),
        ("{Condition: {StringEquals: {a: b}}}", {"Condition": {"StringEquals": {"a": "b"}}}),
    ],
)
def test_functions(expression: str, value: object) -> None:
    data = yamlbody.read(f"value: {expression}" if not expression.startswith("Fn::") else f"value: {{{expression}}}")
    assert intrinsics.evaluate(data["value"], Names()) == value


@pytest.mark.parametrize(
    "broken",
    [
        {"Fn::Join": "a"},
        {"Fn::Join": [",", "text"]},
        {"Fn::Select": ["x", ["a"]]},
        {"Fn::Select": [-1, ["a"]]},
        {"Fn::Split": [","]},
        {"Fn::Cidr": ["nonsense", 1, 8]},
        {"Fn::Cidr": ["10.0.0.0/16", 0, 8]},
        {"Fn::If": ["Chosen", "a"]},
        {"Fn::Sub": 3},
        {"Fn::Sub": ["${A}", {}, {}]},
        {"Fn::GetAtt": "NoDot"},
        {"Fn::FindInMap": ["M", "top"]},
        {"Fn::FindInMap": ["M", "top", "none"]},
        {"Fn::And": [True]},
        {"Fn::Equals": ["a"]},
        {"Fn::Not": ["maybe"]},
        {"Fn::Base64": {"a": 1}},
        {"Fn::Nonsense": 1},
        {"Ref": []},
        {"Ref": {"a": 1}},
    ],
    ids=str,
)
def test_wrong_arguments_are_template_errors(broken: dict[str, Any]) -> None:
    with pytest.raises(CfnError, match=r"Template (format )?error"):
        intrinsics.evaluate(broken, Names())


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["Ref", "Fn::Sub", "Fn::If", "Fn::Join", "Condition", "a"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(TREES)
def test_no_data_breaks_the_evaluator(tree: Any) -> None:
    """Whatever a template contains, the answer is a value or CloudFormation's own error."""
    with contextlib.suppress(CfnError, KeyError):  # KeyError: this scope's own answer for unknown names
        intrinsics.evaluate(tree, Names())


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(CfnError):
        template.parse(text)


def test_dates_stay_text_and_json_and_yaml_agree() -> None:
    text = yamlbody.read('{"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"A": {"Type": "T"}}}')
    assert text == yamlbody.read("AWSTemplateFormatVersion: 2010-09-09\nResources: {A: {Type: T}}")


class NoAccount:
    def ssm_value(self, name: str) -> str:
        return f"value of {name}"

    def exists(self, aws_type: str, value: str) -> bool:
        return value.startswith("vpc-")


@pytest.mark.parametrize(
    ("spec", "text", "value"),
    [
        ({"Type": "String"}, "x", "x"),
        ({"Type": "String", "Default": True}, None, "true"),
        ({"Type": "Number"}, "1.5", "1.5"),
        ({"Type": "CommaDelimitedList"}, "a, b", ["a", "b"]),
        ({"Type": "CommaDelimitedList"}, "", []),
        ({"Type": "List<Number>"}, "1,2", ["1", "2"]),
        ({"Type": "AWS::EC2::VPC::Id"}, "vpc-1", "vpc-1"),
        ({"Type": "List<AWS::EC2::VPC::Id>"}, "vpc-1,vpc-2", ["vpc-1", "vpc-2"]),
        ({"Type": "AWS::SSM::Parameter::Value<String>"}, "/a", "value of /a"),
        ({"Type": "CommaDelimitedList", "AllowedValues": ["a", "b"]}, "b,a", ["b", "a"]),
        ({"Type": "String", "AllowedValues": [True, 7]}, "7", "7"),
    ],
)
def test_parameter_values(spec: dict[str, Any], text: str | None, value: object) -> None:
    parameters.check_declarations({"P": spec})
    given_values = {} if text is None else {"P": text}
    assert parameters.resolve({"P": spec}, given_values, NoAccount()) == {"P": value}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"Type": "List<Number>"}, "1,x"),
        ({"Type": "AWS::EC2::VPC::Id"}, "sg-1"),
        ({"Type": "CommaDelimitedList", "AllowedValues": ["a"]}, "a,b"),
        ({"Type": "String", "MaxLength": "2"}, "abc"),
        ({"Type": "Number", "MaxValue": 3}, "4"),
        ({"Type": "String", "AllowedPattern": "a"}, "ab"),
    ],
)
def test_parameter_values_that_are_refused(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(CfnError):
        parameters.resolve({"P": spec}, {"P": text}, NoAccount())


@pytest.mark.parametrize(
    ("assertion", "holds"),
    [
        ({"Fn::Contains": [["a", "b"], {"Ref": "Word"}]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "List"}, ["a", "b", "c"]]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "List"}, ["a"]]}, False),
        ({"Fn::EachMemberEquals": [["a", "a"], "a"]}, True),
        ({"Fn::Equals": [{"Ref": "Word"}, "b"]}, False),
        ({"Fn::Not": [{"Fn::Equals": [{"Ref": "Word"}, "b"]}]}, True),
        ({"Fn::Or": [{"Fn::Equals": [{"Ref": "Word"}, "a"]}, {"Fn::Equals": ["x", "y"]}]}, True),
        ({"Fn::And": [{"Fn::Equals": [{"Ref": "Word"}, "a"]}, {"Fn::Equals": ["x", "y"]}]}, False),
    ],
    ids=str,
)
def test_rules(assertion: dict[str, Any], holds: bool) -> None:
    rule = {"R": {"Assertions": [{"Assert": assertion, "AssertDescription": "must hold"}]}}
    declared = {"Word": {"Type": "String"}, "List": {"Type": "CommaDelimitedList"}}
    values: dict[str, str | list[str]] = {"Word": "a", "List": ["a", "b"]}
    if holds:
        rules.check(rule, declared, values)
    else:
        with pytest.raises(CfnError, match="must hold"):
            rules.check(rule, declared, values)


def test_a_rule_whose_condition_is_false_is_skipped() -> None:
    never = {"Fn::Equals": ["a", "b"]}
    rules.check({"R": {"RuleCondition": never, "Assertions": [{"Assert": never}]}}, {}, {})


STORE = SchemaStore()


def test_every_violation_is_named_at_once() -> None:
    schema = STORE.get("AWS::FSx::FileSystem")
    with pytest.raises(ResourceFailure) as refused:
        validate.validate(schema, "Fs", {"FileSystemTyp": "LUSTRE", "StorageCapacity": "lots"})
    text = str(refused.value)
    assert text.startswith("Properties validation failed for resource Fs with message:\n[")
    for part in ("required key [FileSystemType]", "required key [SubnetIds]", "[FileSystemTyp]", "#/StorageCapacity"):
        assert part in text


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({"StorageCapacity": 1200}, {"StorageCapacity": 2400}, "True"),
        ({"SubnetIds": ["a"]}, {"SubnetIds": ["b"]}, "True"),
        ({"LustreConfiguration": {"DeploymentType": "A"}}, {"LustreConfiguration": {"DeploymentType": "B"}}, "True"),
        ({}, {"LustreConfiguration": {"DeploymentType": "B"}}, "True"),
        ({"LustreConfiguration": {"DataCompressionType": "A"}}, {"LustreConfiguration": {}}, "False"),
        ({"Tags": []}, {"Tags": [{"Key": "a", "Value": "b"}]}, "False"),
        ({"Tags": []}, {"Tags": []}, "False"),
    ],
)
def test_what_replaces_a_file_system(old: dict[str, Any], new: dict[str, Any], verdict: str) -> None:
    assert replacement(STORE.get("AWS::FSx::FileSystem"), changed_paths(old, new)) == verdict


@pytest.mark.parametrize(
    ("resource_type", "attribute", "known"),
    [
        ("AWS::EC2::VPC", "CidrBlock", True),
        ("AWS::EC2::Subnet", "AvailabilityZone", True),
        ("AWS::EC2::SecurityGroup", "GroupId", True),
        ("AWS::FSx::FileSystem", "LustreMountName", True),
        ("AWS::FSx::FileSystem", "StorageCapacity", False),
        ("AWS::EC2::EIP", "AllocationId", True),
        ("AWS::CloudFormation::Stack", "Outputs.Anything", True),
        ("Custom::Thing", "Anything", True),
        ("AWS::Logs::LogGroup", "Name", False),
    ],
)
def test_attributes(resource_type: str, attribute: str, known: bool) -> None:
    assert STORE.has_attribute(resource_type, attribute) is known


NODES = st.sampled_from("abcdefg")


@given(st.dictionaries(NODES, st.frozensets(NODES, max_size=3), max_size=7))
def test_work_runs_once_each_and_after_its_needs(edges: dict[str, frozenset[str]]) -> None:
    acyclic = {name: frozenset(need for need in needs if need < name) for name, needs in edges.items()}
    graph.check_acyclic(acyclic)
    ended: list[str] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        with lock:
            assert acyclic[name] & set(acyclic) <= set(ended)
            ended.append(name)

    assert graph.run(acyclic, work, stop=lambda: False) == set()
    assert sorted(ended) == sorted(acyclic)


def test_nothing_starts_after_a_stop() -> None:
    order = {"a": frozenset[str](), "b": frozenset({"a"}), "c": frozenset({"b"})}
    seen: list[str] = []
    assert graph.run(order, seen.append, stop=lambda: "a" in seen) == {"b", "c"}
    assert seen == ["a"]


def test_a_cycle_names_those_in_it() -> None:
    with pytest.raises(CfnError, match=r"\[a, b\]"):
        graph.check_acyclic({"a": frozenset({"b"}), "b": frozenset({"a"}), "c": frozenset()})
