"""ParallelCluster's configuration schema as data, one file for each minor version, and a checker for it.

It says in milliseconds, and without an installed pcluster, what ``ClusterSchema.load`` of that version would say. The
files are written by ``python -m pcinfra.clusters.schema.compile`` from pcluster itself; tests hold both against each
other.
"""

from pcinfra.clusters.schema.check import Fault, check
from pcinfra.clusters.schema.document import VERSIONS, Schema, load

__all__ = ["VERSIONS", "Fault", "Schema", "check", "load"]
