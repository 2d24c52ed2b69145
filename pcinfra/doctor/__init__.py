"""``pcinfra doctor``: everything that can be checked before anything is made.

A new check is one function and one line in REGISTRY.
"""

from __future__ import annotations

from pcinfra.doctor import account, belongings, capacity, machine, quotas
from pcinfra.doctor.examination import LIMIT, examination, lines_of
from pcinfra.doctor.model import Check, Line, Verdict

__all__ = ["LIMIT", "REGISTRY", "Check", "Line", "Verdict", "examination", "lines_of"]

REGISTRY: tuple[Check, ...] = (
    Check("python", machine.python, needs_project=False),
    Check("node", machine.node, needs_project=False),
    Check("pcluster", machine.pcluster, needs_project=False),
    Check("session manager plugin", machine.session_manager, needs_project=False),
    Check("image builder", machine.engine, needs_project=False),
    Check("credentials", account.identity, needs_project=False),
    Check("region", account.region),
    Check("vCPU quotas", quotas.vcpus),
    Check("elastic addresses", quotas.addresses),
    Check("VPCs", quotas.vpcs),
    Check("FSx capacity", quotas.storage),
    Check("offers of instance types", capacity.offerings),
    Check("capacity reservations", capacity.reservations),
    Check("bucket", belongings.bucket),
    Check("images", belongings.images),
)
