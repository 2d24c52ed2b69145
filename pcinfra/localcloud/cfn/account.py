"""What the engine asks of the account around a stack: zones, SSM parameters, existing things, templates in S3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.clients import Clients, clients
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.yamlbody import MAX_URL_BODY


class Account:
    """Read-only view of one account and region; implements :class:`parameters.Lookup`."""

    def __init__(self, account: str, region: str) -> None:
        self._clients = clients(account, region)

    @property
    def clients(self) -> Clients:
        return self._clients

    def zones(self, region: str) -> list[str]:
        """Names of the Availability Zones of ``region``."""
        found = clients(self._clients.account, region)("ec2").describe_availability_zones()
        return [zone["ZoneName"] for zone in found["AvailabilityZones"]]

    def ssm_value(self, name: str) -> str:
        try:
            return str(self._clients("ssm").get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError:
            raise CfnError(f"Unable to fetch parameters [{name}] from parameter store for this account.") from None

    def exists(self, aws_type: str, value: str) -> bool:
        try:
            return bool(_EXISTS[aws_type](self._clients, value))
        except ClientError:
            return False

    def template_at(self, url: str) -> str:
        """Text of the template at an S3 address, in path or virtual-hosted style.

        Raises:
            CfnError: not an S3 address, not readable, or larger than 1 MB.
        """
        bucket, key = _bucket_and_key(url)
        try:
            body: bytes = self._clients("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise CfnError(f"S3 error: {error.response['Error'].get('Message', 'Access Denied')}") from None
        if len(body) > MAX_URL_BODY:
            raise CfnError(f"Template may not exceed {MAX_URL_BODY} bytes in size.")
        return body.decode("utf-8", "replace")


def _bucket_and_key(url: str) -> tuple[str, str]:
    """Source: CreateStack, TemplateURL: "must start with https://" and point to an S3 bucket; a loopback address is
    what the local cloud's own clients see."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path.lstrip("/"))
    head, is_s3, _ = host.partition(".s3")
    if is_s3 and head and head != "s3":
        return head, path
    bucket, _, key = path.partition("/")
    if parts.scheme not in ("http", "https") or not bucket or not key:
        raise CfnError("TemplateURL must be a supported URL.")
    if not host.startswith("s3") and not _is_loopback(host):
        raise CfnError("TemplateURL must be an Amazon S3 URL.")
    return bucket, key


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _describe(operation: str, argument: str, result: str) -> Callable[[Clients, str], Any]:
    def ask(client: Clients, value: str) -> Any:
        return getattr(client("ec2"), operation)(**{argument: [value]})[result]

    return ask


_EXISTS: dict[str, Callable[[Clients, str], Any]] = {
    "AWS::EC2::AvailabilityZone::Name": _describe("describe_availability_zones", "ZoneNames", "AvailabilityZones"),
    "AWS::EC2::Image::Id": _describe("describe_images", "ImageIds", "Images"),
    "AWS::EC2::Instance::Id": _describe("describe_instances", "InstanceIds", "Reservations"),
    "AWS::EC2::KeyPair::KeyName": _describe("describe_key_pairs", "KeyNames", "KeyPairs"),
    "AWS::EC2::SecurityGroup::GroupName": _describe("describe_security_groups", "GroupNames", "SecurityGroups"),
    "AWS::EC2::SecurityGroup::Id": _describe("describe_security_groups", "GroupIds", "SecurityGroups"),
    "AWS::EC2::Subnet::Id": _describe("describe_subnets", "SubnetIds", "Subnets"),
    "AWS::EC2::Volume::Id": _describe("describe_volumes", "VolumeIds", "Volumes"),
    "AWS::EC2::VPC::Id": _describe("describe_vpcs", "VpcIds", "Vpcs"),
    "AWS::Route53::HostedZone::Id": lambda client, value: client("route53").get_hosted_zone(Id=value),
    "AWS::SSM::Parameter::Name": lambda client, value: client("ssm").get_parameter(Name=value),
}
