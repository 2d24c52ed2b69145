"""RDS: what it asks of an Aurora cluster's place and password, which moto does not.

Sources: RDS API reference, CreateDBSubnetGroup (DBSubnetGroupDoesNotCoverEnoughAZs) and CreateDBCluster
(MasterUserPassword: 8 to 41 characters of printable ASCII without / " @ and, we refuse it too, blanks).

A database server is a record here: nothing listens at its address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from moto.rds.models import RDSBackend

from pcinfra.localcloud.services.errors import ServiceError
from pcinfra.localcloud.services.patching import put


def install() -> None:
    """Change moto's RDS."""
    put(
        RDSBackend,
        create_subnet_group=_in_two_zones(RDSBackend.create_subnet_group),
        modify_db_subnet_group=_kept(_in_two_zones(RDSBackend.modify_db_subnet_group)),
        create_db_cluster=_with_password(RDSBackend.create_db_cluster),
    )


def _in_two_zones(real: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, subnet_name: str, description: str, subnets: list[Any], *args: Any, **kwargs: Any) -> Any:
        zones = sorted({subnet.availability_zone for subnet in subnets})
        if len(zones) < 2:
            raise ServiceError(
                "DBSubnetGroupDoesNotCoverEnoughAZs",
                "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
                f"{', '.join(zones)}. Add subnets to cover at least 2 AZs.",
            )
        return real(self, subnet_name, description, subnets, *args, **kwargs)

    return checked


def _kept(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``real``, which forgets the group that it changes."""

    def changed(self: Any, subnet_name: str, *args: Any) -> Any:
        self.subnet_groups[subnet_name] = group = real(self, subnet_name, *args)
        return group

    return changed


def _with_password(real: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, kwargs: dict[str, Any]) -> Any:
        password = kwargs.get("master_user_password")
        if password is not None and not re.fullmatch(r"[!#-.0-?A-~]{8,41}", password):
            raise ServiceError(
                "InvalidParameterValue",
                "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides "
                "'/', '@', '\"', ' ' may be used.",
            )
        return real(self, kwargs)

    return checked
