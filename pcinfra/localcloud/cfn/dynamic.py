"""Dynamic references: ``{{resolve:secretsmanager:...}}`` in properties, put in when a service is called.

Source: CloudFormation user guide, "Get values stored in other services using dynamic references": the value is never
kept with the stack, so what is kept and compared is the reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pcinfra.localcloud.cfn.errors import ResourceFailure

_REFERENCE = re.compile(r"\{\{resolve:([a-z-]+):([^{}]+)\}\}")
_SECRET = re.compile(r"(?P<id>arn:(?:[^:]*:){5}[^:]*|[^:]+)(?::(?P<part>[^:]*))?(?::(?P<key>[^:]*))?")


def resolved(value: Any, client: Callable[[str], Any]) -> Any:
    """Return ``value`` with every reference in it replaced.

    Raises:
        ResourceFailure: of a service other than Secrets Manager, or of a secret without the key that it names.
    """
    if isinstance(value, dict):
        return {key: resolved(item, client) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, client) for item in value]
    return _REFERENCE.sub(lambda match: _read(match, client), value) if isinstance(value, str) else value


def _read(match: re.Match[str], client: Callable[[str], Any]) -> str:
    service, address = match.groups()
    parts = _SECRET.fullmatch(address)
    if service != "secretsmanager" or parts is None or parts["part"] not in (None, "", "SecretString"):
        raise ResourceFailure(f"not implemented by the local cloud: {match.group()}")
    text = str(client("secretsmanager").get_secret_value(SecretId=parts["id"])["SecretString"])
    if not parts["key"]:
        return text
    try:
        return str(json.loads(text)[parts["key"]])
    except (ValueError, KeyError, TypeError):
        raise ResourceFailure(
            f"Could not find a value associated with JSONKey in SecretString: {match.group()}"
        ) from None
