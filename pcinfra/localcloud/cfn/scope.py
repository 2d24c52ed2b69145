"""The values that names have inside one stack, at one moment of an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pcinfra.localcloud.cfn import intrinsics
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.model import Resource, StackState
from pcinfra.localcloud.cfn.template import ResourceSpec, Template


class StackScope:
    """Implements :class:`intrinsics.Scope` for a stack.

    Args:
        template: the template whose names are looked up (during an update the new one).
        parameters: resolved parameters.
        resources: finds a resource by logical id; None when it has not been made.
        zones: names of a region's Availability Zones.
        exported: value of an export; None when nobody exports that name.

    ``imports`` collects the names of the exports that were used.
    """

    def __init__(
        self,
        state: StackState,
        template: Template,
        parameters: Mapping[str, str | list[str]],
        *,
        resources: Callable[[str], Resource | None],
        zones: Callable[[str], list[str]],
        exported: Callable[[str], str | None],
    ) -> None:
        self.template = template
        self.parameters = parameters
        self.imports: set[str] = set()
        self._resources = resources
        self._zones = zones
        self._exported = exported
        self._conditions: dict[str, bool] = {}
        self._pseudo: dict[str, Any] = {
            "AWS::AccountId": state.account,
            "AWS::NotificationARNs": [],
            "AWS::NoValue": intrinsics.NO_VALUE,
            "AWS::Partition": "aws",
            "AWS::Region": state.region,
            "AWS::StackId": state.stack_id,
            "AWS::StackName": state.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        self._region = state.region

    def active(self) -> dict[str, ResourceSpec]:
        """The resources whose condition holds."""
        specs = self.template.resources.items()
        return {name: spec for name, spec in specs if spec.condition is None or self.condition(spec.condition)}

    def ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        resource = self._resources(name)
        if resource is None or resource.physical_id is None:
            raise CfnError(
                f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the"
                " template"
            )
        return resource.physical_id

    def get_att(self, logical_id: str, attribute: str) -> Any:
        resource = self._resources(logical_id)
        if resource is None:
            raise CfnError(f"Template error: instance of Fn::GetAtt references undefined resource {logical_id}")
        if attribute in resource.attributes:
            return resource.attributes[attribute]
        if attribute in resource.properties:
            return resource.properties[attribute]
        if resource.type == "AWS::CloudFormation::Stack":
            raise CfnError(f"Template error: Output '{attribute}' not found in stack '{resource.physical_id}'")
        raise CfnError(
            f"Template error: resource {logical_id} does not support attribute type {attribute} in Fn::GetAtt"
        )

    def condition(self, name: str) -> bool:
        if name not in self._conditions:
            if name not in self.template.conditions:
                raise CfnError(f"Template format error: Unresolved condition dependency {name}")
            self._conditions[name] = intrinsics.truth(intrinsics.evaluate(self.template.conditions[name], self))
        return self._conditions[name]

    def mapping(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        if name not in self.template.mappings:
            raise CfnError(
                f"Template error: Mapping named '{name}' is not present in the 'Mappings' section of template."
            )
        found: Mapping[str, Mapping[str, Any]] = self.template.mappings[name]
        return found

    def zones(self, region: str) -> list[str]:
        return self._zones(region or self._region)

    def import_value(self, name: str) -> str:
        value = self._exported(name)
        if value is None:
            raise CfnError(f"No export named {name} found.")
        self.imports.add(name)
        return value
