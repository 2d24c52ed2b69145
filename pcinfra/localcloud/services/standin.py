"""What stands for machines where none can be started: nothing is reachable."""

from __future__ import annotations

from pcinfra.localcloud.services.ssm import Running


class NoMachines:
    """A :class:`~pcinfra.localcloud.services.ssm.Runner` that reaches no instance."""

    def reaches(self, instance_id: str) -> bool:
        return False

    def start_script(self, instance_id: str, script: str, directory: str) -> Running:
        raise LookupError(f"no machine runs for {instance_id}")
