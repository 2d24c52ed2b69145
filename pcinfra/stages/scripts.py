"""Stage *scripts*: the nodes' bootstrap scripts, in ``scripts/bootstrap/`` of the bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra import assets
from pcinfra.engine import Action, Kind, Plan
from pcinfra.project import hooks
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.bucket import BUCKET, SCRIPTS, Bucket, BucketFacts

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project

VARIABLES = {
    "HEAD_NODE_BOOTSTRAP_SCRIPT": "head-node-enroot-pyxis-setup.sh",
    "COMPUTE_NODE_BOOTSTRAP_SCRIPT": "compute-node-enroot-pyxis-setup.sh",
}


@dataclass(frozen=True, slots=True)
class ScriptFacts:
    """The ETag of each object under ``scripts/bootstrap/``, by its name there; and the files that should be there."""

    etags: Mapping[str, str]
    files: Mapping[str, Path]

    def differing(self) -> list[tuple[str, Path, str]]:
        """Return each file that is not in the bucket as it is here: its name there, itself, and the reason.

        Source: S3 user guide, "Checking object integrity": the ETag of an object put in one part and encrypted
        with SSE-S3 is its MD5.
        """
        rows = []
        for name, path in self.files.items():
            etag = self.etags.get(name)
            if etag != _digest(path):
                rows.append((name, path, "is not in the bucket" if etag is None else "differs"))
        return rows


def _digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


class Scripts:
    """The bootstrap scripts of head node and compute nodes."""

    name: ClassVar[str] = "scripts"
    needs: ClassVar[tuple[str, ...]] = (Bucket.name,)

    def read(self, project: Project, doors: Doors, facts: Facts) -> ScriptFacts:
        files = {name: assets.folder("bootstrap") / name for name in VARIABLES.values()}
        files |= {hook.key.removeprefix(SCRIPTS): hook.path for hook in hooks.local_files(project)}
        listed = facts.of(BucketFacts).scripts
        return ScriptFacts({key.removeprefix(SCRIPTS): etag for key, etag in listed.items()}, files)

    def up(self, project: Project, facts: Facts) -> Plan:
        bucket = facts.of(BucketFacts).name
        actions = [
            Action(
                f"scripts/{name}", Kind.CREATE if why.startswith("is not") else Kind.UPDATE,
                f"s3://{bucket}/{SCRIPTS}{name}", why,
                PutFile(bucket, SCRIPTS + name, path, _digest(path)),
                frozenset({BUCKET}),
            )
            for name, path, why in facts.of(ScriptFacts).differing()
        ]  # fmt: skip
        return Plan(tuple(actions), _standing_clusters(bucket, facts.of(ScriptFacts)))

    def down(self, project: Project, facts: Facts) -> Plan:
        return Plan()  # they go with the bucket

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        found = facts.of(ScriptFacts)
        wrong = {name for name, _, _ in found.differing()}
        rows = []
        for name in found.files:
            there = name in found.etags
            health = Health.ABSENT if not there else Health.DIFFERS if name in wrong else Health.OK
            rows.append(Resource(self.name, name, SCRIPTS + name if there else "", health))
        return rows

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        bucket = facts.of(BucketFacts).name
        return {name: f"s3://{bucket}/{SCRIPTS}{file}" for name, file in VARIABLES.items()}


def _standing_clusters(bucket: str, found: ScriptFacts) -> tuple[str, ...]:
    """Say how a cluster that stands gets a changed hook: only a new head node runs the script that installs it."""
    notes = []
    for name, _, why in found.differing():
        key = SCRIPTS + name
        if why == "differs" and key.startswith(hooks.FOLDER):
            cluster, kind, file = key.removeprefix(hooks.FOLDER).split("/")
            notes.append(
                f"cluster {cluster}, if it stands, keeps the {kind} {file} that it has; after pcinfra up: "
                f"pcinfra cluster exec {cluster} -- sudo sh -c 'cd /opt/slurm/etc/scripts && "
                f"aws s3 cp s3://{bucket}/{key} .{file} && chmod 755 .{file} && mv -f .{file} {kind}.d/60_{file}'"
            )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class PutFile:
    """Put one file into the bucket. ``digest`` is its MD5 when the plan was made: a plan file compares it."""

    bucket: str
    key: str
    path: Path = field(repr=False)
    digest: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        doors.cloud.call(
            "s3", "PutObject", Bucket=self.bucket, Key=self.key, Body=self.path.read_bytes(),
            ServerSideEncryption="AES256",  # whatever key the bucket has: only then is the ETag the MD5
        )  # fmt: skip
