"""Custom resources checked as the API server checks them.

:mod:`~pcinfra.jobs.kubernetes.schema.crd` reads a CustomResourceDefinition,
:mod:`~pcinfra.jobs.kubernetes.schema.admission` puts an object through what the server does with it.
"""

from pcinfra.jobs.kubernetes.schema.admission import Admitted, Fault, admit
from pcinfra.jobs.kubernetes.schema.crd import Resource, resource_of

__all__ = ["Admitted", "Fault", "Resource", "admit", "resource_of"]
