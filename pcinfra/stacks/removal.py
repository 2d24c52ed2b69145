"""A template without one of its resources: the way to make CloudFormation forget what was deleted by hand.

Source: AWS re:Post, "How do I update a CloudFormation stack that's failing because of a resource that I manually
deleted": take the resource out of the template, update, put it back, update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def without(template: str, resources: Iterable[str]) -> str:
    """Return ``template`` (YAML) without the resources of these logical ids, and without the outputs that use them.

    Raises:
        KeyError: there is no such resource.
        ValueError: another resource needs it.
    """
    import cfn_flip

    body, _ = cfn_flip.load(template)
    for name in resources:
        del body["Resources"][name]
        body["Outputs"] = {key: value for key, value in body.get("Outputs", {}).items() if not _uses(value, name)}
        needing = [key for key, value in body["Resources"].items() if _uses(value, name)]
        if needing:
            raise ValueError(f"{', '.join(needing)} needs {name}")
    return str(cfn_flip.dump_yaml(body))


def _uses(value: Any, name: str) -> bool:
    """Whether ``value`` refers to the resource ``name``: by Ref, GetAtt, Sub or DependsOn."""
    if isinstance(value, Mapping):
        return any(_refers(key, inner, name) or _uses(inner, name) for key, inner in value.items())
    return isinstance(value, list) and any(_uses(inner, name) for inner in value)


def _refers(key: str, value: Any, name: str) -> bool:
    if key == "DependsOn":
        return name == value or (isinstance(value, list) and name in value)
    if key in ("Ref", "Fn::GetAtt"):
        return (value if isinstance(value, list) else str(value).split("."))[0] == name
    text = value[0] if isinstance(value, list) and value else value
    return key == "Fn::Sub" and isinstance(text, str) and any(f"${{{name}{end}" in text for end in ("}", "."))
