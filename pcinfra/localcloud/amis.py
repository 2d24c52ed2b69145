"""The images that ``ec2 describe-images`` knows: those of moto, and the official ones of ParallelCluster.

pcluster finds an official image by owner ``amazon`` and name, aws-parallelcluster-VERSION-OS-hvm-ARCHITECTURE-DATE
(pcluster/aws/ec2.py, get_official_image_id; pcluster/constants.py, OS_TO_IMAGE_NAME_PART_MAP).
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.resources
import json
from pathlib import Path
from typing import Any

VERSIONS = ("3.11.1", "3.12.0", "3.13.0", "3.13.2", "3.14.0", "3.15.0", "3.15.1", "3.16.0", "3.16.1")

OPERATING_SYSTEMS = {
    "alinux2023": "amzn2023-hvm",
    "ubuntu2204": "ubuntu-2204-lts-hvm",
    "ubuntu2404": "ubuntu-2404-lts-hvm",
    "rhel8": "rhel8-hvm",
    "rhel9": "rhel9-hvm",
    "rocky8": "rocky8-hvm",
    "rocky9": "rocky9-hvm",
}
"""Name of the operating system in a cluster's configuration to its part in the name of an image."""

_OWNER = "247102896272"
"""An account of AWS's that publishes the images; moto gives every image of the list the alias ``amazon``."""


def write(directory: Path) -> Path:
    """Write the list that moto reads at MOTO_AMIS_PATH, unless it is there; return where it is."""
    path = directory / f"amis-{importlib.metadata.version('moto')}-{VERSIONS[-1]}.json"
    if not path.exists():
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(_moto_images() + official_images()), encoding="utf-8")
        partial.replace(path)
    return path


def official_images() -> list[dict[str, Any]]:
    """Return ParallelCluster's images, in the form of moto's list."""
    return [
        _image(version, system, architecture)
        for version in VERSIONS
        for system in OPERATING_SYSTEMS
        for architecture in ("x86_64", "arm64")
    ]


def _image(version: str, system: str, architecture: str) -> dict[str, Any]:
    built = "202607010000 2026-07-01T00-00-00.000Z"
    name = f"aws-parallelcluster-{version}-{OPERATING_SYSTEMS[system]}-{architecture}-{built}"
    return {
        "ami_id": f"ami-{hashlib.sha256(name.encode()).hexdigest()[:17]}",
        "name": name,
        "description": f"AWS ParallelCluster AMI for {system}",
        "owner_id": _OWNER,
        "public": True,
        "virtualization_type": "hvm",
        "architecture": architecture,
        "state": "available",
        "creation_date": "2026-07-01T00:00:00.000Z",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/sda1" if system.startswith("ubuntu") else "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
    }


def _moto_images() -> list[dict[str, Any]]:
    packed = importlib.resources.files("moto") / "ec2" / "resources" / "amis.json.gz"
    images: list[dict[str, Any]] = json.loads(gzip.decompress(packed.read_bytes()))
    return images
