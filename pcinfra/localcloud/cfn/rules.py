"""The ``Rules`` section: assertions over parameter values, checked before anything is made.

Source: CloudFormation user guide, "Rules", and "Rule-specific intrinsic functions": a rule whose RuleCondition is
false is skipped; a false Assert refuses the operation with its AssertDescription.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pcinfra.localcloud.cfn.errors import CfnError, format_error, not_implemented
from pcinfra.localcloud.cfn.intrinsics import text_of, truth

Json = dict[str, Any]
Values = Mapping[str, str | list[str]]


def check(rules: Mapping[str, Json], parameters: Mapping[str, Json], values: Values) -> None:
    """Evaluate every rule.

    Raises:
        CfnError: an assertion is false, or a rule is malformed.
    """
    scope = _Rules(parameters, values)
    for name, rule in rules.items():
        if not isinstance(rule, dict) or not isinstance(rule.get("Assertions"), list):
            raise format_error(f"Every Rules member must contain an Assertions list. [/Rules/{name}]")
        if "RuleCondition" in rule and not truth(scope.value(rule["RuleCondition"])):
            continue
        for assertion in rule["Assertions"]:
            if not truth(scope.value(assertion["Assert"])):
                raise CfnError(_refusal(name, assertion))


def _refusal(rule: str, assertion: Json) -> str:
    described = assertion.get("AssertDescription") or "an assertion is false"
    return f"Template validation error: Rule {rule} failed: {described}"


class _Rules:
    def __init__(self, parameters: Mapping[str, Json], values: Values) -> None:
        self._parameters = parameters
        self._values = values

    def value(self, item: Any) -> Any:
        if isinstance(item, list):
            return [self.value(entry) for entry in item]
        if not isinstance(item, dict):
            return item
        if len(item) != 1:
            raise format_error("a rule may contain nothing but rule functions")
        ((name, argument),) = item.items()
        if name == "Ref":
            return self._ref(argument)
        if name not in _FUNCTIONS:
            raise format_error(f"Unrecognized rule function {name}")
        return _FUNCTIONS[name](self, argument)

    def _ref(self, name: Any) -> Any:
        if name not in self._values:
            raise format_error(f"Unresolved dependencies [{name}]. Cannot reference resources in the Rules block")
        return self._values[name]

    def items(self, argument: Any) -> list[str]:
        found = self.value(argument)
        return [text_of(entry) for entry in found] if isinstance(found, list) else [text_of(found)]

    def contains(self, argument: Any) -> bool:
        return text_of(self.value(argument[1])) in self.items(argument[0])

    def each_in(self, argument: Any) -> bool:
        return set(self.items(argument[0])) <= set(self.items(argument[1]))

    def each_equals(self, argument: Any) -> bool:
        wanted = text_of(self.value(argument[1]))
        return all(entry == wanted for entry in self.items(argument[0]))

    def ref_all(self, kind: Any) -> list[str]:
        found: list[str] = []
        for name, spec in self._parameters.items():
            if spec["Type"] in (kind, f"List<{kind}>"):
                found.extend(self.items(self._values[name]))
        return found

    def equals(self, argument: Any) -> bool:
        left, right = (self.value(entry) for entry in argument)
        return left == right if isinstance(left, list) else text_of(left) == text_of(right)


def _value_of(_rules: _Rules, argument: Any) -> Any:
    raise not_implemented(f"the rule function Fn::ValueOf {argument}")


_FUNCTIONS: dict[str, Callable[[_Rules, Any], Any]] = {
    "Fn::And": lambda rules, argument: all(truth(rules.value(entry)) for entry in argument),
    "Fn::Or": lambda rules, argument: any(truth(rules.value(entry)) for entry in argument),
    "Fn::Not": lambda rules, argument: not truth(rules.value(argument[0])),
    "Fn::Equals": _Rules.equals,
    "Fn::Contains": _Rules.contains,
    "Fn::EachMemberIn": _Rules.each_in,
    "Fn::EachMemberEquals": _Rules.each_equals,
    "Fn::RefAll": _Rules.ref_all,
    "Fn::ValueOf": _value_of,
    "Fn::ValueOfAll": _value_of,
}
