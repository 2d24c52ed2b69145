"""Which Trainer is installed, told from the properties of its CRD.

The versions differ in what a TrainJob calls its changes to the runtime's pods, and a field of another version is
dropped by the server without a word (kubeflow/trainer, ``pkg/apis/trainer/v1alpha1/trainjob_types.go`` at v2.0.0,
v2.1.0 and v2.3.0).
"""

from __future__ import annotations

from enum import StrEnum

from pcinfra.errors import PcinfraError
from pcinfra.jobs.kubernetes.schema.structural import Node


class Dialect(StrEnum):
    """A TrainJob as a range of Trainer versions understands it."""

    V2_0 = "v2.0"
    V2_1 = "v2.1"
    V2_2 = "v2.2"  # and v2.3

    @property
    def overrides(self) -> str:
        """The field of the TrainJob that changes the runtime's pods."""
        return {Dialect.V2_0: "podSpecOverrides", Dialect.V2_1: "podTemplateOverrides"}.get(self, "runtimePatches")

    @property
    def has_deadline(self) -> bool:
        """Whether a TrainJob has ``activeDeadlineSeconds``."""
        return self is Dialect.V2_2

    @property
    def has_labels(self) -> bool:
        """Whether ``spec.labels`` reach the pods by themselves."""
        return self is not Dialect.V2_2


NEWEST = Dialect.V2_2


def dialect_of(trainjob: Node) -> Dialect:
    """Return the dialect of a TrainJob's schema.

    Raises:
        PcinfraError: it has none of the fields that tell.
    """
    spec = trainjob.at("spec")
    for dialect in Dialect:
        if spec is not None and dialect.overrides in spec.properties:
            return dialect
    names = ", ".join(d.overrides for d in Dialect)
    raise PcinfraError(
        f"its schema has none of {names}: not a Trainer that pcinfra knows",
        where="trainjobs.trainer.kubeflow.org",
        hint="a Trainer from v2.0 to v2.3",
    )
