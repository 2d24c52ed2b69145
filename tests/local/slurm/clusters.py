"""Small clusters that tests start: the configuration is ParallelCluster's, the instance types are EC2's."""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.slurm.config import InstanceFacts, cluster_spec, static_nodes
from pcinfra.localcloud.slurm.spec import Spec

TYPES = {
    "m5.8xlarge": InstanceFacts(vcpus=32, threads_per_core=2, memory=131072),
    "p5.48xlarge": InstanceFacts(192, 2, 2097152, gpus=8, gpu="H100", instance_store=True),
    "p4d.24xlarge": InstanceFacts(96, 2, 1179648, gpus=8, gpu="A100", instance_store=True),
    "g6e.12xlarge": InstanceFacts(48, 2, 393216, gpus=4, gpu="L40S", instance_store=True),
}


def config(nodes: int = 2, dynamic: int = 0, **queue: Any) -> dict[str, Any]:
    """Return a cluster configuration with one queue of p5.48xlarge: static nodes, and dynamic ones."""
    resource = {"Name": "p5", "InstanceType": "p5.48xlarge", "MinCount": nodes, "MaxCount": nodes + dynamic}
    return {
        "Region": "us-east-1",
        "Image": {"Os": "ubuntu2204"},
        "HeadNode": {"InstanceType": "m5.8xlarge"},
        "Scheduling": {
            "Scheduler": "slurm",
            "SlurmQueues": [
                {
                    "Name": "gpu",
                    "Networking": {"SubnetIds": ["subnet-0"]},
                    "ComputeSettings": {"LocalStorage": {"EphemeralVolume": {"MountDir": "/scratch"}}},
                    "ComputeResources": [resource | {"Efa": {"Enabled": True}}],
                    **queue,
                }
            ],
        },
        "SharedStorage": [
            {
                "Name": "lustre",
                "MountDir": "/lustre",
                "StorageType": "FsxLustre",
                "FsxLustreSettings": {"FileSystemId": "fs-0123"},
            }
        ],
    }


def spec_of(content: dict[str, Any], **more: Any) -> Spec:
    """Return the cluster of a configuration, with addresses as a VPC would give them."""
    addresses = {node.name: f"10.1.0.{number}" for number, node in enumerate(static_nodes(content), 10)}
    return cluster_spec("train", content, types=TYPES, head_address="10.0.0.10", addresses=addresses, **more)
