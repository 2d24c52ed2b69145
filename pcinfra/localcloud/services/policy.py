"""What a resource policy says about a request.

Source of every rule: IAM user guide, "Policy evaluation logic" (an explicit deny wins) and "IAM JSON policy elements:
Condition operators" (a key that the request has not got: a positive operator does not match, a negated one and
``...IfExists`` do, ``Null`` asks for just that).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Decision = Literal["allow", "deny", "none"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: an action such as ``s3:GetObject`` on the ARN ``resource``, by ``account``.

    Args:
        context: condition keys in lower case to their value.
    """

    action: str
    resource: str
    account: str
    context: Mapping[str, str]


def decide(document: str, request: Request) -> Decision:
    """Return what the policy says; ``none`` when no statement speaks of the request."""
    statements = json.loads(document).get("Statement", [])
    said = [s["Effect"] for s in _listed(statements) if _speaks_of(s, request)]
    if "Deny" in said:
        return "deny"
    return "allow" if "Allow" in said else "none"


def _speaks_of(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _element(statement, "Action", lambda wanted: _like(wanted.lower(), request.action.lower()))
        and _element(statement, "Resource", lambda wanted: _like(wanted, request.resource))
        and _principal(statement, request)
        and all(_condition(name, keys, request) for name, keys in statement.get("Condition", {}).items())
    )


def _element(statement: Mapping[str, Any], name: str, matches: Callable[[str], bool]) -> bool:
    if f"Not{name}" in statement:
        return not any(matches(wanted) for wanted in _listed(statement[f"Not{name}"]))
    return any(matches(wanted) for wanted in _listed(statement.get(name, "*")))


def _principal(statement: Mapping[str, Any], request: Request) -> bool:
    if "NotPrincipal" in statement:
        return not _names_account(statement["NotPrincipal"], request.account)
    return _names_account(statement.get("Principal", "*"), request.account)


def _names_account(principal: Any, account: str) -> bool:
    names = ["*"] if principal == "*" else _listed(principal.get("AWS", []))
    return any(name in ("*", account) or name == f"arn:aws:iam::{account}:root" for name in names)


def _condition(operator: str, keys: Mapping[str, Any], request: Request) -> bool:
    return all(_holds(operator, request.context.get(key.lower()), _listed(wanted)) for key, wanted in keys.items())


def _holds(operator: str, value: str | None, wanted: list[Any]) -> bool:
    name = operator.rpartition(":")[2]
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in wanted]
    if name == "Null":
        return (value is None) == (texts[0].lower() == "true")
    name, optional = name.removesuffix("IfExists"), name.endswith("IfExists")
    negated = "Not" in name
    if value is None:
        return optional or negated
    compare = _COMPARISONS.get(name.replace("Not", ""))
    if compare is None:
        raise NotImplementedError(f"the condition operator {operator}")
    return any(compare(value, text) for text in texts) != negated


def _like(pattern: str, text: str) -> bool:
    """``*`` is any text and ``?`` any character; nothing else is special."""
    wanted = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in pattern)
    return re.fullmatch(wanted, text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": lambda value, wanted: _like(wanted, value),
    "ArnEquals": lambda value, wanted: _like(wanted, value),
    "ArnLike": lambda value, wanted: _like(wanted, value),
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericLessThan": lambda value, wanted: float(value) < float(wanted),
    "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
    "NumericGreaterThan": lambda value, wanted: float(value) > float(wanted),
    "NumericGreaterThanEquals": lambda value, wanted: float(value) >= float(wanted),
}
