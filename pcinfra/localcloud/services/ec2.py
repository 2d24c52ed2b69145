"""EC2 where moto refuses what AWS takes, or takes what AWS refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from moto.core.types import Base64EncodedString
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.key_pairs import KeyPair
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses import EC2Response
from moto.ec2.utils import parse_user_data

from pcinfra.localcloud.services import ec2_capacity, ec2_dependencies, ec2_supply, ec2_ultraserver
from pcinfra.localcloud.services.patching import put

ROOT_DEVICES = ("/dev/sda1", "/dev/xvda")
IMAGE_SIZE = 15
"""GiB of the root volume of every image, as DescribeImages says here."""

OnTerminate = Callable[[list[str]], None]
"""Called with the ids of instances that have just been terminated."""


def install(on_terminate: OnTerminate) -> None:
    """Change moto's EC2; ``on_terminate`` ends what runs in place of the instances."""
    _take_ephemeral_mappings()
    _name_key_type()
    _open_default_groups()
    _filter_nat_gateways_by_tag()
    _decode_user_data_of_new_versions()
    _own_endpoint_interfaces()
    _tell_of_ends(on_terminate)
    ec2_capacity.install()
    ec2_supply.install()
    ec2_ultraserver.install()
    ec2_dependencies.install()


def _take_ephemeral_mappings() -> None:
    """A mapping may name an instance store volume and then has no Ebs.

    EC2 API reference, BlockDeviceMapping: "VirtualName: the virtual device name (ephemeralN)... NVMe instance store
    volumes are automatically enumerated". pcluster writes 24 of them into every launch template.
    """
    parse = EC2Response._parse_block_device_mapping
    template_of = InstanceBackend._get_template_from_args

    def parse_without_ephemeral(self: Any) -> Any:
        get_param = self._get_param

        def filtered(name: str, *args: Any, **kwargs: Any) -> Any:
            value = get_param(name, *args, **kwargs)
            return [_sized(m) for m in value or [] if _has_volume(m)] if name == "BlockDeviceMappings" else value

        self._get_param = filtered
        try:
            return parse(self)
        finally:
            del self._get_param

    def template_without_ephemeral(self: Any, arguments: dict[str, Any]) -> Any:
        version = copy.copy(template_of(self, arguments))
        mappings = version.data.get("BlockDeviceMappings") or []
        version.data = {**version.data, "BlockDeviceMappings": [_sized(m) for m in mappings if _has_volume(m)]}
        return version

    put(EC2Response, _parse_block_device_mapping=parse_without_ephemeral)
    put(InstanceBackend, _get_template_from_args=template_without_ephemeral)


def _has_volume(mapping: dict[str, Any]) -> bool:
    return not str(mapping.get("VirtualName", "")).startswith("ephemeral")


def _sized(mapping: dict[str, Any]) -> dict[str, Any]:
    """EC2 API reference, EbsBlockDevice, VolumeSize: without one "the default is the snapshot size", the image's."""
    disk = mapping.get("Ebs") or {}
    if mapping.get("DeviceName") not in ROOT_DEVICES or not disk or disk.get("VolumeSize") or disk.get("SnapshotId"):
        return mapping
    return {**mapping, "Ebs": {**disk, "VolumeSize": IMAGE_SIZE}}


def _name_key_type() -> None:
    """EC2 API reference, CreateKeyPair: "KeyType... Default: rsa". moto leaves it out, pcluster reads it."""
    init = KeyPair.__init__

    def init_with_type(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.key_type = self.key_type or "rsa"

    put(KeyPair, __init__=init_with_type)


def _filter_nat_gateways_by_tag() -> None:
    """EC2 API reference, DescribeNatGateways, Filter: "tag:<key>" and "tag-key". moto lists all the same."""
    describe = EC2Backend.describe_nat_gateways

    def described(self: Any, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
        wanted = {name: values for name, values in (filters or {}).items() if name.startswith("tag")}
        return [n for n in describe(self, filters, nat_gateway_ids) if _carries(n.get_tags(), wanted)]

    put(EC2Backend, describe_nat_gateways=described)


def _decode_user_data_of_new_versions() -> None:
    """moto decodes the user data of a template's first version only, and then cannot launch from a later one."""
    create = LaunchTemplate.create_version

    def create_decoded(self: Any, data: dict[str, Any], description: str) -> Any:
        given = data.get("UserData")
        if given and not isinstance(given, Base64EncodedString):
            data = {**data, "UserData": parse_user_data(given)}
        return create(self, data, description)

    put(LaunchTemplate, create_version=create_decoded)


def _own_endpoint_interfaces() -> None:
    """The network interfaces of an interface endpoint are the endpoint's, and say so.

    EC2 API reference, NetworkInterface, InterfaceType: vpc_endpoint; PrivateLink guide, "Access an AWS service using an
    interface VPC endpoint": requester-managed. moto's look like anybody's.
    """
    create = EC2Backend.create_vpc_endpoint

    def create_owning(self: Any, *args: Any, **kwargs: Any) -> Any:
        endpoint = create(self, *args, **kwargs)
        for interface in endpoint.network_interface_ids or []:
            made = self.enis[interface]
            made.interface_type, made.status, made.requester_managed = "vpc_endpoint", "in-use", True
            made.description = f"VPC Endpoint Interface {endpoint.id}"
        return endpoint

    put(EC2Backend, create_vpc_endpoint=create_owning)


def _carries(tags: list[dict[str, str]], filters: dict[str, list[str]]) -> bool:
    found = {tag["key"]: tag["value"] for tag in tags}
    keys, exact = filters.get("tag-key", []), {k[4:]: v for k, v in filters.items() if k.startswith("tag:")}
    return (not keys or any(key in found for key in keys)) and all(found.get(key) in v for key, v in exact.items())


def _open_default_groups() -> None:
    """VPC user guide, "Default security groups": inbound, "all traffic from the members of this group"."""
    create = EC2Backend.create_security_group

    def create_open(self: Any, *args: Any, **kwargs: Any) -> Any:
        group = create(self, *args, **kwargs)
        if kwargs.get("is_default"):
            members = [{"GroupId": group.id, "OwnerId": self.account_id}]
            self.authorize_security_group_ingress(
                group.id, "-1", None, None, [], source_groups=members, vpc_id=group.vpc_id
            )
        return group

    put(EC2Backend, create_security_group=create_open)


def _tell_of_ends(on_terminate: OnTerminate) -> None:
    terminate = InstanceBackend.terminate_instances

    def terminate_and_tell(self: Any, instance_ids: list[str]) -> Any:
        ended = terminate(self, instance_ids)
        on_terminate([instance.id for instance, _ in ended])
        return ended

    put(InstanceBackend, terminate_instances=terminate_and_tell)
