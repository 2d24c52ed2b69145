"""What EC2 refuses to delete because something else still uses it, and what ends together with it.

Source: EC2 API reference, error code DependencyViolation ("the specified object has dependent resources") and the
operations DeleteSubnet, DeleteSecurityGroup, DeleteVpc, DetachInternetGateway, DeleteNatGateway, DeleteRouteTable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance

from pcinfra.localcloud.services.patching import put


def install() -> None:
    """Put AWS's checks before moto's deletions."""
    _guard("delete_subnet", _subnet_users, "The subnet '{}' has dependencies and cannot be deleted.")
    _guard("delete_vpc", _vpc_users, "The vpc '{}' has dependencies and cannot be deleted.")
    _guard_security_group()
    _guard_detachment()
    _end_nat_gateways()
    _guard_address()
    _end_interfaces()


def _guard(operation: str, users: Any, message: str) -> None:
    delete = getattr(EC2Backend, operation)

    def guarded(self: Any, wanted: str, *args: Any, **kwargs: Any) -> Any:
        if any(users(self, wanted)):
            raise DependencyViolationError(message.format(wanted))
        return delete(self, wanted, *args, **kwargs)

    put(EC2Backend, **{operation: guarded})


def _subnet_users(backend: Any, subnet_id: str) -> Iterator[str]:
    """Network interfaces: those of instances, NAT gateways and FSx file systems, and free ones."""
    yield from (eni.id for eni in backend.enis.values() if eni.subnet.id == subnet_id and _in_use(eni))
    yield from (nat.id for nat in _live_nats(backend) if nat.subnet_id == subnet_id)
    yield from (instance.id for instance in _live_instances(backend) if instance.subnet_id == subnet_id)


def _vpc_users(backend: Any, vpc_id: str) -> Iterator[str]:
    """Gateways and security groups other than the default one. moto itself checks subnets and route tables."""
    yield from (igw.id for igw in backend.internet_gateways.values() if igw.vpc and igw.vpc.id == vpc_id)
    groups = backend.groups.get(vpc_id, {}).values()
    yield from (group.id for group in groups if group.name != "default")
    yield from (nat.id for nat in _live_nats(backend) if nat.vpc_id == vpc_id)


def _guard_security_group() -> None:
    """ "The group is in use by a network interface, or referenced by another security group in the VPC"."""
    delete = EC2Backend._delete_security_group

    def guarded(self: Any, vpc_id: str | None, group_id: str) -> Any:
        if any(_group_users(self, group_id)):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        return delete(self, vpc_id, group_id)

    put(EC2Backend, _delete_security_group=guarded)


def _group_users(backend: Any, group_id: str) -> Iterator[str]:
    for eni in backend.enis.values():
        if _in_use(eni) and group_id in [group.id for group in eni.group_set]:
            yield eni.id
    for instance in _live_instances(backend):
        if group_id in [group.id for group in instance.security_groups]:
            yield instance.id
    for groups in backend.groups.values():
        yield from (other.id for other in groups.values() if other.id != group_id and _refers(other, group_id))


def _refers(group: Any, group_id: str) -> bool:
    rules = [*group.ingress_rules, *group.egress_rules]
    return any((rule.source_group or {}).get("GroupId") == group_id for rule in rules)


def _guard_detachment() -> None:
    """An internet gateway cannot be detached while public addresses of the VPC are mapped through it.

    EC2 API reference, DetachInternetGateway: "The VPC must not contain any running instances with Elastic IP
    addresses or public IPv4 addresses"; AWS counts those of NAT gateways as well.
    """
    detach = EC2Backend.detach_internet_gateway

    def guarded(self: Any, internet_gateway_id: str, vpc_id: str) -> Any:
        if any(_public_addresses(self, vpc_id)):
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway."
            )
        return detach(self, internet_gateway_id, vpc_id)

    put(EC2Backend, detach_internet_gateway=guarded)


def _public_addresses(backend: Any, vpc_id: str) -> Iterator[str]:
    yield from (nat.id for nat in _live_nats(backend) if nat.vpc_id == vpc_id)
    for instance in _live_instances(backend):
        if instance.vpc_id == vpc_id and instance.public_ip:
            yield instance.id


def _end_nat_gateways() -> None:
    """DeleteNatGateway "disassociates its Elastic IP address, but does not release the address"."""
    delete = EC2Backend.delete_nat_gateway

    def and_unmap(self: Any, nat_gateway_id: str) -> Any:
        if nat_gateway_id not in self.nat_gateways:
            raise EC2ClientError("NatGatewayNotFound", f"NAT gateway {nat_gateway_id} was not found")
        gateway = delete(self, nat_gateway_id)
        for address in self.addresses:
            if address.eni is gateway._eni:
                address.association_id = address.eni = None
        self.enis.pop(gateway._eni.id, None)
        return gateway

    put(EC2Backend, delete_nat_gateway=and_unmap)


def _guard_address() -> None:
    """ReleaseAddress: "you must disassociate the Elastic IP address before you can release it.

    Otherwise, Amazon EC2 returns an error (InvalidIPAddress.InUse)".
    """
    release = EC2Backend.release_address

    def guarded(self: Any, address: str | None = None, allocation_id: str | None = None) -> Any:
        for held in self.addresses:
            if held.association_id and (held.public_ip == address or held.allocation_id == allocation_id):
                raise EC2ClientError("InvalidIPAddress.InUse", f"Address {held.public_ip} is in use.")
        return release(self, address, allocation_id)

    put(EC2Backend, release_address=guarded)


def _end_interfaces() -> None:
    """What an instance does with its network interfaces when it ends.

    EC2 API reference, InstanceNetworkInterfaceSpecification: DeleteOnTermination; EC2 user guide: "the primary network
    interface is deleted on termination by default", one that existed before is detached. moto leaves all attached.
    """
    prepare, terminate = Instance.prep_nics, Instance.terminate

    def prepare_and_mark(self: Any, nic_spec: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        existing = set(self.ec2_backend.enis)
        prepare(self, nic_spec, *args, **kwargs)
        kept = {int(spec["DeviceIndex"]) for spec in nic_spec if spec.get("DeleteOnTermination") is False}
        for index, interface in self.nics.items():
            if interface.id not in existing:
                interface.delete_on_termination = index not in kept

    def terminate_and_detach(self: Any) -> Any:
        interfaces = list(self.nics.values())
        previous = terminate(self)
        for interface in interfaces:
            _detach(self.ec2_backend, interface)
        return previous

    put(Instance, prep_nics=prepare_and_mark, terminate=terminate_and_detach)


def _detach(backend: Any, interface: Any) -> None:
    interface.instance = interface.attachment_id = interface.attach_time = None
    interface.status = "available"
    for address in backend.addresses:
        if address.eni is interface:
            address.association_id = address.eni = address.instance = None
    if interface.delete_on_termination:
        backend.enis.pop(interface.id, None)


def _live_nats(backend: Any) -> Iterator[Any]:
    return (nat for nat in backend.nat_gateways.values() if nat.state not in ("deleted", "failed"))


def _live_instances(backend: Any) -> Iterator[Any]:
    for reservation in backend.reservations.values():
        yield from (i for i in reservation.instances if i._state.name not in ("terminated", "shutting-down"))


def _in_use(eni: Any) -> bool:
    instance = eni.instance
    return instance is None or instance._state.name not in ("terminated", "shutting-down")
