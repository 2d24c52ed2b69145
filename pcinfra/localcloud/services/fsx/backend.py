"""The FSx of one account in one region: what it holds, its ids and ARNs, tags, tokens and pages."""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.ec2.models import ec2_backends

from pcinfra.localcloud.gate import turn
from pcinfra.localcloud.services.fsx.clock import delay, new_id
from pcinfra.localcloud.services.fsx.errors import bad_request, incompatible, not_found, refused
from pcinfra.localcloud.services.fsx.model import Association, Backup, FileSystem, Tags, Task, Volume
from pcinfra.localcloud.services.fsx.storage import Storage

MAX_TAGS = 50

T = TypeVar("T")


class FsxBackend(BaseBackend, TaggableResourcesMixin):
    """What one account has in one region. The operations are in the modules beside this one."""

    SERVICE_NAMESPACE = "fsx"
    storage: Storage | None = None
    """Where the content of all file systems is; None: nowhere."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.file_systems: dict[str, FileSystem] = {}
        self.volumes: dict[str, Volume] = {}
        self.associations: dict[str, Association] = {}
        self.tasks: dict[str, Task] = {}
        self.backups: dict[str, Backup] = {}
        self._tokens: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}

    @property
    def _url_module(self) -> Any:
        return sys.modules["moto.fsx.urls"]

    @property
    def ec2(self) -> Any:
        """The network that the file systems are in."""
        return ec2_backends[self.account_id][self.region_name]

    def arn(self, path: str) -> str:
        return f"arn:aws:fsx:{self.region_name}:{self.account_id}:{path}"

    def live_file_systems(self) -> list[FileSystem]:
        """Return those that are not gone."""
        self.forget_gone()
        return list(self.file_systems.values())

    def live_associations(self) -> list[Association]:
        self.forget_gone()
        return list(self.associations.values())

    def file_system(self, wanted: str) -> FileSystem:
        """Return it, or raise FileSystemNotFound."""
        self.forget_gone()
        found = self.file_systems.get(wanted)
        if found is None:
            raise not_found("FileSystemNotFound", "File system", wanted)
        return found

    def running_tasks(self, file_system: str) -> list[Task]:
        return [task for task in self.tasks.values() if task.file_system == file_system and task.running]

    def forget_gone(self) -> None:
        """Drop what has finished being deleted, and what went with it."""
        for system in [system for system in self.file_systems.values() if system.gone]:
            self._forget_file_system(system)
        self._discard(_drop(self.volumes, lambda volume: volume.gone))
        _drop(self.associations, lambda association: association.gone)
        _drop(self.backups, lambda backup: backup.gone)

    def _forget_file_system(self, gone: FileSystem) -> None:
        for interface in gone.interfaces:
            self.ec2.enis.pop(interface, None)
        del self.file_systems[gone.id]
        volumes = _drop(self.volumes, lambda volume: volume.file_system == gone.id)
        self._discard([gone.id, *volumes])
        _drop(self.associations, lambda association: association.file_system == gone.id)

    def keep_content(self, identity: str) -> None:
        """Make the directory for the content of a new file system or volume."""
        if self.storage:
            self.storage.make(identity)

    def _discard(self, identities: Sequence[str]) -> None:
        for identity in identities:
            if self.storage:
                self.storage.discard(identity)

    def forget_soon(self) -> None:
        """Network interfaces of a deleted file system go by themselves, whether or not anybody asks for it again."""
        timer = threading.Timer(delay() + 0.01, self._forget_in_turn)
        timer.daemon = True
        timer.start()

    def once(self, operation: str, request: dict[str, Any], held: dict[str, T], make: Callable[[], T]) -> T:
        """Make a resource, or return the one that an equal request with the same ClientRequestToken made.

        CreateFileSystem: "if a file system with the specified client request token exists and the parameters don't
        match, this call returns IncompatibleParameterError".
        """
        token = request.get("ClientRequestToken")
        asked = {name: value for name, value in request.items() if name != "ClientRequestToken"}
        known = self._tokens.get((operation, token)) if token else None
        if known and known[1] in held:
            if known[0] != asked:
                raise incompatible(_difference(known[0], asked))
            return held[known[1]]
        made = make()
        held[made.id] = made  # type: ignore[attr-defined]
        if token:
            self._tokens[operation, token] = (asked, made.id)  # type: ignore[attr-defined]
        return made

    def new(self, prefix: str) -> str:
        return new_id(prefix)

    def tagged(self, arn: str) -> Any:
        """Return the resource with this ARN, or raise what TagResource does."""
        self.forget_gone()
        for resource in self._resources():
            if resource.arn == arn:
                return resource
        if not arn.startswith(self.arn("")):
            raise refused("NotServiceResourceError", f"{arn} is not an Amazon FSx resource.", ResourceARN=arn)
        raise refused("ResourceNotFound", f"{arn} does not exist.", ResourceARN=arn)

    def add_tags(self, arn: str, tags: Tags) -> None:
        resource = self.tagged(arn)
        merged = {tag["Key"]: tag.get("Value", "") for tag in [*resource.tags, *tags]}
        resource.tags = checked_tags([{"Key": key, "Value": value} for key, value in merged.items()])

    def remove_tags(self, arn: str, keys: list[str]) -> None:
        resource = self.tagged(arn)
        resource.tags = [tag for tag in resource.tags if tag["Key"] not in keys]

    # Resource Groups Tagging API
    def iter_tagged_resources(self) -> Iterator[Any]:
        for resource in self._resources():
            tags = {tag["Key"]: tag["Value"] for tag in resource.tags}
            kind = resource.arn.split(":")[5].split("/")[0]
            yield TaggedResource(arn=resource.arn, tags=tags, resource_type=f"fsx:{kind}")

    def tag_resource(self, arn: str, tags: dict[str, str]) -> None:
        self.add_tags(arn, [{"Key": key, "Value": value} for key, value in tags.items()])

    def untag_resource(self, arn: str, tag_keys: list[str]) -> None:
        self.remove_tags(arn, tag_keys)

    def _resources(self) -> Iterator[Any]:
        for held in (self.file_systems, self.volumes, self.associations, self.tasks, self.backups):
            yield from list(held.values())

    def _forget_in_turn(self) -> None:
        with turn("fsx.forget"):
            self.forget_gone()


def checked_tags(tags: Tags | None) -> Tags:
    """Return the tags in AWS's form; keys are unique, at most 50, and ``aws:`` is reserved."""
    given = tags or []
    keys = [tag.get("Key", "") for tag in given]
    if len(set(keys)) != len(keys):
        raise bad_request("Tag keys must be unique.")
    if any(key.lower().startswith("aws:") and not key.startswith("aws:cloudformation:") for key in keys):
        raise bad_request("Tag keys that begin with aws: are reserved.")
    if len(given) > MAX_TAGS:
        raise bad_request(f"A resource has at most {MAX_TAGS} tags.")
    return [{"Key": tag["Key"], "Value": tag.get("Value", "")} for tag in given]


def page(rows: Sequence[T], request: dict[str, Any]) -> tuple[list[T], str | None]:
    """Return one page of ``rows`` and the token of the next, as MaxResults and NextToken ask."""
    begin = _position(request.get("NextToken"))
    if begin > len(rows):
        raise bad_request("NextToken is not valid.")
    end = begin + int(request.get("MaxResults") or len(rows) or 1)
    return list(rows[begin:end]), _token(end) if end < len(rows) else None


def _token(position: int) -> str:
    """The API's NextToken is base64."""
    return base64.b64encode(str(position).encode()).decode()


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token))
    except ValueError:
        raise bad_request("NextToken is not valid.") from None


def _drop(held: dict[str, T], is_gone: Callable[[T], bool]) -> list[str]:
    """Return the keys of what was dropped."""
    gone = [key for key, value in held.items() if is_gone(value)]
    for key in gone:
        del held[key]
    return gone


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = sorted(set(before) | set(now))
    return next(n for n in names if json.dumps(before.get(n), default=str) != json.dumps(now.get(n), default=str))


backends = BackendDict(FsxBackend, "fsx")
