"""Amazon FSx for Lustre and OpenZFS: file systems, volumes, data repository associations and tasks, backups.

moto has file systems without a life cycle, and nothing of the rest. Source of every rule: FSx API reference, in the
form of the documentation inside botocore's model of the service, and the FSx for Lustre and OpenZFS user guides.
"""

from __future__ import annotations

from pcinfra.localcloud.services.fsx.mover import Mover
from pcinfra.localcloud.services.fsx.responses import install
from pcinfra.localcloud.services.fsx.storage import Storage

__all__ = ["Mover", "Storage", "install"]
