"""What the CloudFormation tests say instead of boto3's long forms."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

Json = dict[str, Any]

PATIENCE = 120.0
"""Seconds that an operation may take before a test gives up on it."""


@cache
def _client(service: str, region: str) -> Any:
    """Clients outlive the accounts: making one takes longer than most tests."""
    import boto3

    return boto3.Session("key", "secret", region_name=region).client(service)


class Cloud:
    """The public API, called through boto3."""

    def __init__(self) -> None:
        self.cfn = self.client("cloudformation")

    def client(self, service: str, region: str = "us-east-1") -> Any:
        return _client(service, region)

    def create(self, template: Json | str, name: str = "stack", **arguments: Any) -> Json:
        """Create a stack and return it as it is when nothing moves any more."""
        stack_id = self.start(template, name, **arguments)
        return self.wait(stack_id)

    def start(self, template: Json | str, name: str = "stack", **arguments: Any) -> str:
        """Create a stack and return its id at once."""
        answer = self.cfn.create_stack(StackName=name, TemplateBody=text(template), **arguments)
        return str(answer["StackId"])

    def update(self, template: Json | str, name: str = "stack", **arguments: Any) -> Json:
        self.cfn.update_stack(StackName=name, TemplateBody=text(template), **arguments)
        return self.wait(name)

    def delete(self, name: str = "stack", **arguments: Any) -> Json:
        """Delete a stack; the final state is found by id."""
        stack_id = self.stack(name)["StackId"]
        self.cfn.delete_stack(StackName=stack_id, **arguments)
        return self.wait(stack_id)

    def stack(self, name: str = "stack") -> Json:
        found: Json = self.cfn.describe_stacks(StackName=name)["Stacks"][0]
        return found

    def wait(self, name: str) -> Json:
        deadline = time.monotonic() + PATIENCE
        while True:
            stack = self.stack(name)
            if not stack["StackStatus"].endswith("_IN_PROGRESS") or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
                return stack
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is still {stack['StackStatus']}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until no operation runs: threads must not outlive the account."""
        for stack in self.cfn.list_stacks()["StackSummaries"]:
            self.wait(stack["StackId"])

    def events(self, name: str = "stack") -> list[Json]:
        """All events, the oldest first."""
        pages = self.cfn.get_paginator("describe_stack_events").paginate(StackName=name)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def history(self, logical_id: str, name: str = "stack") -> list[tuple[str, str]]:
        """(status, reason) of one resource, or of the stack itself when given its name."""
        return [
            (event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in self.events(name)
            if event["LogicalResourceId"] == logical_id
        ]

    def failures(self, name: str = "stack") -> dict[str, str]:
        """Reasons of the failed resources, without those that were only cancelled."""
        return {
            event["LogicalResourceId"]: event.get("ResourceStatusReason", "")
            for event in self.events(name)
            if event["ResourceStatus"].endswith("_FAILED")
            and event.get("ResourceStatusReason") != "Resource creation cancelled"
            and event["PhysicalResourceId"] != event["StackId"]
        }

    def physical(self, logical_id: str, name: str = "stack") -> str:
        answer = self.cfn.describe_stack_resource(StackName=name, LogicalResourceId=logical_id)
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    def outputs(self, name: str = "stack") -> dict[str, str]:
        return {row["OutputKey"]: row["OutputValue"] for row in self.stack(name).get("Outputs", [])}

    def inventory(self) -> dict[str, list[str]]:
        """Ids of everything that a stack of these tests could leave behind."""
        ec2, iam, logs = self.client("ec2"), self.client("iam"), self.client("logs")
        nats = ec2.describe_nat_gateways()["NatGateways"]
        endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
        return {
            "vpcs": sorted(row["VpcId"] for row in ec2.describe_vpcs()["Vpcs"]),
            "subnets": sorted(row["SubnetId"] for row in ec2.describe_subnets()["Subnets"]),
            "route tables": sorted(row["RouteTableId"] for row in ec2.describe_route_tables()["RouteTables"]),
            "gateways": [row["InternetGatewayId"] for row in ec2.describe_internet_gateways()["InternetGateways"]],
            "nats": [row["NatGatewayId"] for row in nats if row["State"] != "deleted"],
            "addresses": [row["PublicIp"] for row in ec2.describe_addresses()["Addresses"]],
            "interfaces": [row["NetworkInterfaceId"] for row in ec2.describe_network_interfaces()["NetworkInterfaces"]],
            "groups": sorted(row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]),
            "endpoints": [row["VpcEndpointId"] for row in endpoints if row["State"] != "deleted"],
            "flow logs": [row["FlowLogId"] for row in ec2.describe_flow_logs()["FlowLogs"]],
            "file systems": [row["FileSystemId"] for row in self.client("fsx").describe_file_systems()["FileSystems"]],
            "buckets": [row["Name"] for row in self.client("s3").list_buckets()["Buckets"]],
            "roles": [row["RoleName"] for row in iam.list_roles()["Roles"]],
            "profiles": [row["InstanceProfileName"] for row in iam.list_instance_profiles()["InstanceProfiles"]],
            "log groups": [row["logGroupName"] for row in logs.describe_log_groups()["logGroups"]],
        }


def text(template: Json | str) -> str:
    return template if isinstance(template, str) else json.dumps(template)


def resources(**members: Json) -> Json:
    """A template with nothing but these resources."""
    return {"Resources": members}


def log_group(**properties: Any) -> Json:
    return {"Type": "AWS::Logs::LogGroup", "Properties": properties}


def parameter(value: Any, **properties: Any) -> Json:
    """An SSM parameter of type String."""
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value, **properties}}
