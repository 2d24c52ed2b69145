"""API actions about templates."""

from __future__ import annotations

from pcinfra.localcloud.cfn import checks, yamlbody
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.model import Json
from pcinfra.localcloud.cfn.request import Action, Request
from pcinfra.localcloud.cfn.template import Template, load


def get_template(request: Request) -> Json:
    """Source: GetTemplate: of a stack (deleted ones by id) or of a change set, as it was given."""
    change_set = request.text("ChangeSetName")
    if change_set:
        from pcinfra.localcloud.cfn.api_changesets import find_change_set

        body = find_change_set(request).definition.body
    else:
        body = request.backend.find(request.required("StackName")).definition.body
    return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}


def validate_template(request: Request) -> Json:
    template = _checked(request)
    needed, reason = checks.required_capabilities(template)
    return {
        "Parameters": [
            {
                "ParameterKey": name,
                "DefaultValue": _default(spec),
                "NoEcho": str(spec.get("NoEcho", False)).lower() == "true",
                "Description": spec.get("Description"),
            }
            for name, spec in template.parameters.items()
        ],
        "Description": template.description,
        "Capabilities": needed,
        "CapabilitiesReason": reason,
        "DeclaredTransforms": list(template.transforms),
    }


def _checked(request: Request) -> Template:
    template = load(request.body())
    checks.check(template, request.backend.region_name)
    return template


def _default(spec: Json) -> str | None:
    return str(spec["Default"]) if "Default" in spec else None


def get_template_summary(request: Request) -> Json:
    if request.text("StackName"):
        template = load(request.backend.find(request.required("StackName")).definition.body)
    elif request.text("StackSetName"):
        raise CfnError("StackSets are not supported.")
    else:
        template = _checked(request)
    needed, reason = checks.required_capabilities(template)
    return {
        "Parameters": [_declaration(name, spec) for name, spec in template.parameters.items()],
        "Description": template.description,
        "Capabilities": needed,
        "CapabilitiesReason": reason,
        "ResourceTypes": sorted({spec.type for spec in template.resources.values()}),
        "Version": yamlbody.read(template.body).get("AWSTemplateFormatVersion"),
        "DeclaredTransforms": list(template.transforms),
    }


def _declaration(name: str, spec: Json) -> Json:
    row: Json = {
        "ParameterKey": name,
        "ParameterType": spec["Type"],
        "DefaultValue": _default(spec),
        "NoEcho": str(spec.get("NoEcho", False)).lower() == "true",
        "Description": spec.get("Description"),
        "ParameterConstraints": {},
    }
    if "AllowedValues" in spec:
        row["ParameterConstraints"] = {"AllowedValues": [str(value) for value in spec["AllowedValues"]]}
    return row


ACTIONS: dict[str, Action] = {
    "GetTemplate": get_template,
    "ValidateTemplate": validate_template,
    "GetTemplateSummary": get_template_summary,
}
