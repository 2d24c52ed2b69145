"""The stack that a cluster stands on: network, security group, Lustre, OpenZFS and the policy of the nodes.

One rendering, committed as ``cfn/parallelcluster-prerequisites.yaml``, serves every choice: all choices are
parameters. Write it anew with ``python -m pcinfra.stacks``.
"""

from __future__ import annotations

import json

import cfn_flip
from troposphere import And, Condition, Export, GetAtt, If, Not, Output, Ref, Sub, Template, cloudformation

from pcinfra.stacks import database
from pcinfra.stacks.network import (
    NEW,
    PRIVATE_SUBNET,
    PUBLIC_SUBNET,
    SECURITY_GROUP,
    VPC,
    add_network,
    made_or,
)
from pcinfra.stacks.nodes import add_node_policy
from pcinfra.stacks.parameters import add_parameters, add_rules
from pcinfra.stacks.settings import NODE_POLICY, StackSettings
from pcinfra.stacks.storage import add_storage

FILE_NAME = "parallelcluster-prerequisites.yaml"
MAX_BODY_BYTES = 51200
"""Longest TemplateBody. Source: CloudFormation API reference, CreateStack."""

SECTIONS = (
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Conditions",
    "Resources",
    "Outputs",
)
RESOURCE_KEYS = (
    "Type",
    "Condition",
    "DependsOn",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "Metadata",
    "Properties",
)
HEADER = "# Rendered by `python -m pcinfra.stacks` from pcinfra/stacks/; edit there.\n"


def build(settings: StackSettings) -> Template:
    """Return the template; ``settings`` become the defaults of its parameters."""
    template = Template()
    template.set_version()
    template.set_description(
        "What AWS ParallelCluster needs: a VPC with a public and a private subnet, a security group for EFA, "
        "FSx for Lustre, FSx for OpenZFS, a policy for the nodes, and a database for Slurm accounting by option."
    )
    add_parameters(template, settings)
    add_rules(template)
    add_network(template)
    add_storage(template)
    database.add_database(template)
    add_node_policy(template)
    _add_nothing(template)
    _add_outputs(template)
    return template


def render(settings: StackSettings) -> str:
    """Return the template as YAML; equal settings give equal text."""
    body = build(settings).to_dict()
    body["Resources"] = {name: _in_order(resource) for name, resource in body["Resources"].items()}
    return HEADER + "\n".join(_yaml({section: body[section]}) for section in SECTIONS)


def _in_order(resource: dict[str, object]) -> dict[str, object]:
    """Say what it is before how it is."""
    return {key: resource[key] for key in RESOURCE_KEYS if key in resource}


def _yaml(section: dict[str, object]) -> str:
    """Convert by way of JSON: CloudFormation's short forms (``!Ref``) are written only from plain text."""
    return str(cfn_flip.to_yaml(json.dumps(section)))


def _add_nothing(template: Template) -> None:
    """A stack has at least one resource, also when everything exists: this one is free and does nothing."""
    template.add_condition("AllExists", And(*(Not(Condition(name)) for name in NEW)))
    template.add_resource(cloudformation.WaitConditionHandle("Nothing", Condition="AllExists"))


def _add_outputs(template: Template) -> None:
    lustre, openzfs = "FSxLFilesystem", "OpenZFSFileSystem"
    outputs = {
        "VPC": ("VPC", VPC),
        "PublicSubnet": ("Public subnet", PUBLIC_SUBNET),
        "PrimaryPrivateSubnet": ("Private subnet", PRIVATE_SUBNET),
        "SecurityGroup": ("Security group of nodes and file systems", SECURITY_GROUP),
        "FSxLustreFilesystemId": ("Lustre file system", made_or("NewLustre", lustre, "ExistingLustre")),
        "FSxLustreFilesystemMountname": (
            "Lustre mount name",
            If("NewLustre", GetAtt(lustre, "LustreMountName"), Ref("ExistingLustreMountName")),
        ),
        "FSxLustreFilesystemDNSname": (
            "Lustre DNS name",
            If("NewLustre", GetAtt(lustre, "DNSName"), Sub("${ExistingLustre}.fsx.${AWS::Region}.${AWS::URLSuffix}")),
        ),
        "FSxOpenZFSFilesystemId": ("OpenZFS file system that the stack made", Ref(openzfs)),
        "FSxORootVolumeId": (
            "OpenZFS volume of /home",
            If("NewOpenZFS", GetAtt(openzfs, "RootVolumeId"), Ref("ExistingOpenZFSVolume")),
        ),
        "SecondaryPrivateSubnet": ("Second private subnet", Ref("SecondaryPrivateSubnet")),
        NODE_POLICY: ("IAM policy of the nodes", Ref(NODE_POLICY)),
        **database.OUTPUTS,
    }
    conditions = {
        "FSxOpenZFSFilesystemId": "NewOpenZFS",
        "SecondaryPrivateSubnet": "WithSecondZone",
        NODE_POLICY: "WithNodePolicy",
        **dict.fromkeys(database.OUTPUTS, database.WANTED),
    }
    for name, (description, value) in outputs.items():
        output = template.add_output(_output(name, description, value))
        if name in conditions:
            output.Condition = conditions[name]


def _output(name: str, description: str, value: object) -> Output:
    return Output(name, Description=description, Value=value, Export=Export(Sub(f"${{AWS::StackName}}-{name}")))
