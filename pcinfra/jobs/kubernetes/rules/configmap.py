"""ConfigMaps (Kubernetes, ``pkg/apis/core/validation/validation.go``, ValidateConfigMap)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import Broken, Rule, Surroundings

MAX_BYTES = 1_048_576
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def _keys(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for field in ("data", "binaryData"):
        for key in value.get(field) or {}:
            if not _KEY.fullmatch(str(key)) or key in (".", "..") or str(key).startswith(".."):
                why = f"{key!r} is no key: letters, digits, '-', '_' and '.'; a path needs volumes[].configMap.items"
                yield (field, key), why, str(key).replace("/", "_")
    for key in (value.get("data") or {}).keys() & (value.get("binaryData") or {}).keys():
        yield ("binaryData", key), "is in data too", "another key"


def _size(value: Mapping[str, Any], around: Surroundings) -> Broken:
    size = sum(len(str(text).encode()) for text in (value.get("data") or {}).values())
    for key, text in (value.get("binaryData") or {}).items():
        try:
            size += len(base64.b64decode(str(text), validate=True))
        except binascii.Error:
            yield ("binaryData", key), "is not base64", ""
    if size > MAX_BYTES:
        yield ("data",), f"has {size} bytes; a ConfigMap holds {MAX_BYTES}", "a volume, or an image with the code in it"


_SOURCE = "Kubernetes, pkg/apis/core/validation/validation.go, ValidateConfigMap"
RULES = (Rule("keys", ("ConfigMap",), _SOURCE, "", _keys), Rule("size", ("ConfigMap",), _SOURCE, "", _size))
