"""Builder *record*: the image's manifest alone, for the local cloud, whose ECR has an API and no registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Kind
from pcinfra.errors import Conflict, Refused
from pcinfra.images.model import IMAGE, REPOSITORY, Order

if TYPE_CHECKING:
    from pcinfra.doors import Doors

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Record:
    """Puts a manifest through ECR's API; nothing is built."""

    name: ClassVar[str] = "record"
    here: ClassVar[bool] = False

    def why_not(self, doors: Doors) -> str:
        return "it is for the local cloud only" if doors.target.registry else ""

    def build(self, order: Order, why: str) -> tuple[Action, ...]:
        return ()

    def publish(self, order: Order, why: str) -> tuple[Action, ...]:
        put = PutManifest(order.repository, order.tags, order.digest)
        return (Action(IMAGE + order.name, Kind.CREATE, order.what, why, put, frozenset({REPOSITORY + order.name})),)


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Put an OCI manifest whose config is the digest of the build context (OCI image specification 1.1)."""

    repository: str
    tags: tuple[str, ...]
    digest: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        if doors.target.registry:
            raise Refused("AWS's ECR takes images, not records of them", where=f"repository {self.repository}")
        config = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{self.digest}",
            "size": 0,
        }
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}
        for tag in self.tags:
            try:
                doors.cloud.call(
                    "ecr", "PutImage", repositoryName=self.repository, imageTag=tag,
                    imageManifest=json.dumps(manifest), imageManifestMediaType=MANIFEST_TYPE,
                )  # fmt: skip
            except Conflict:
                continue  # the same manifest under the same tag is there already
