"""CustomResourceDefinitions: from a folder of YAML files or from the server, as schemas, kept by digest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pcinfra.errors import NotFound, PcinfraError
from pcinfra.jobs.kubernetes.schema.structural import Node

_TEXT = ("description", "x-kubernetes-preserve-description")


@dataclass(frozen=True)
class Resource:
    """One version of a custom resource.

    Args:
        digest: of what it was read from: two resources with one digest are the same.
        replicas: path of the number that ``kubectl scale`` changes; empty where there is none.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    root: Node
    digest: str
    replicas: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


def resource_of(crd: Mapping[str, Any], digest: str = "", version: str = "") -> Resource:
    """Return the resource of a CRD: ``version`` of it, else the one that is stored.

    Raises:
        PcinfraError: it is no CRD of apiextensions.k8s.io/v1, or has no schema.
    """
    try:
        spec = crd["spec"]
        served = [v for v in spec["versions"] if (v["name"] == version if version else v.get("storage"))]
        schema = served[0]["schema"]["openAPIV3Schema"]
        names = spec["names"]
        scope = spec.get("scope") == "Namespaced"
        scale = (served[0].get("subresources") or {}).get("scale") or {}
        path = tuple(filter(None, str(scale.get("specReplicasPath", "")).split(".")))
        return Resource(
            spec["group"], served[0]["name"], names["kind"], names["plural"], scope, Node(schema), digest, path
        )
    except (KeyError, IndexError, TypeError) as error:
        raise PcinfraError("is no CustomResourceDefinition with a schema", where=_name(crd)) from error


def resources_in(folder: Path, wanted: Iterable[str] = ()) -> list[Resource]:
    """Return the resources whose CRDs lie in ``folder`` as YAML files; of ``wanted`` kinds only, when there are any.

    Raises:
        NotFound: there is no such folder, or no CRD in it.
    """
    if not folder.is_dir():
        raise NotFound("there is no such folder", where=str(folder), hint="--crd-dir FOLDER, with CRDs as *.yaml")
    kinds = set(wanted)
    found = [
        resource
        for file in sorted(folder.glob("*.y*ml"))
        for resource in read_file(file)
        if not kinds or resource.kind in kinds
    ]
    if not found:
        raise NotFound("holds no CRD of the Kubeflow Trainer or training operator", where=str(folder))
    return found


def read_file(file: Path) -> Iterator[Resource]:
    """Yield the resources of the CRDs in ``file``, from the cache when the same bytes have been read before."""
    content = file.read_bytes()
    if b"CustomResourceDefinition" not in content:
        return
    digest = hashlib.sha256(content).hexdigest()
    for crd in _kept(digest, content):
        yield _compiled(digest, crd)


def from_server(crd: Mapping[str, Any]) -> Resource:
    """Return the resource of a CRD as the API server answered it."""
    slim = _slim(dict(crd))
    text = json.dumps(slim, sort_keys=True)
    return _compiled(hashlib.sha256(text.encode()).hexdigest(), text)


@lru_cache(maxsize=64)
def _compiled(digest: str, crd: str) -> Resource:
    return resource_of(json.loads(crd), digest)


def _kept(digest: str, content: bytes) -> list[str]:
    """Return the CRDs in ``content`` as JSON without descriptions; YAML of this size takes a second to read."""
    kept = _cache() / f"{digest}.json"
    try:
        return [str(text) for text in json.loads(kept.read_text())]
    except (OSError, ValueError):
        pass
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = [d for d in yaml.load_all(content, Loader=loader) if isinstance(d, dict)]
    texts = [json.dumps(_slim(d)) for d in documents if d.get("kind") == "CustomResourceDefinition"]
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(texts))
        temporary.replace(kept)
    except OSError:  # a cache that cannot be written is no reason to stop
        pass
    return texts


def _slim(crd: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema needs of a CRD: neither descriptions nor status nor metadata but the name."""
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": crd.get("metadata", {}).get("name", "")},
        "spec": _without_text(crd.get("spec", {})),
    }


def _without_text(value: Any) -> Any:
    if isinstance(value, dict):
        # A property may be called "description": only texts are dropped.
        return {k: _without_text(v) for k, v in value.items() if not (k in _TEXT and isinstance(v, str))}
    if isinstance(value, list):
        return [_without_text(item) for item in value]
    return value


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pcinfra" / "crds"


def _name(crd: Mapping[str, Any]) -> str:
    metadata = crd.get("metadata") if isinstance(crd, Mapping) else None
    return str(metadata.get("name", "?")) if isinstance(metadata, Mapping) else "?"
