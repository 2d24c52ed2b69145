"""Custom resources: the Lambda function behind ServiceToken really runs, in this process.

The code is the function's own package, unpacked to a scratch folder. Only three things around it are exchanged: boto3
reaches this local cloud, ``time.sleep`` is short, and the answer that it would PUT to a presigned address comes back
directly. Two kinds of code are understood: functions built on crhelper (ParallelCluster's), whose create, update and
delete functions are called, and plain handlers that send their answer with ``cfnresponse``.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import tempfile
import threading
import time
import types
import uuid
import zipfile
from pathlib import Path
from typing import Any

import boto3

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.handlers import CUSTOM
from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, handler_failure, unique

LONGEST_SLEEP = 0.02
"""Seconds that a function's own sleeps are cut to."""

CFNRESPONSE = 'SUCCESS, FAILED = "SUCCESS", "FAILED"\n'
"""The module that Lambda provides for inline code; ``send`` is put into it, see :func:`_call`."""

_IMPORTS = threading.Lock()


def _package(context: Context, arn: str) -> tuple[str, bytes]:
    """Handler name and zip of the function that a ServiceToken names.

    Raises:
        ResourceFailure: it is not a Lambda function of this account and region.
    """
    if ":lambda:" not in arn:
        raise ResourceFailure(f"not implemented by the local cloud: a custom resource behind {arn}")
    name = arn.split(":function:")[-1]
    settings = context.client("lambda").get_function(FunctionName=name)["Configuration"]
    from moto.awslambda.models import lambda_backends

    function = lambda_backends[context.account][context.region].get_function(name)
    return settings["Handler"], function.code_bytes


def _load(module: str, package: bytes, folder: Path, session: boto3.Session) -> types.ModuleType:
    """Import a module of the package under a name of its own; what it imports from beside it comes along."""
    (folder / "cfnresponse.py").write_text(CFNRESPONSE)
    zipfile.ZipFile(io.BytesIO(package)).extractall(folder)
    path = folder / (module.replace(".", "/") + ".py")
    if not path.exists():
        raise ResourceFailure(f"Runtime.ImportModuleError: Unable to import module '{module}'")
    spec = importlib.util.spec_from_file_location(f"custom_{unique()}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    siblings = {entry.stem for entry in folder.iterdir()}
    with _IMPORTS:
        sys.path.insert(0, str(folder))
        try:
            spec.loader.exec_module(loaded)
        finally:
            sys.path.remove(str(folder))
            for name in [name for name in sys.modules if name.split(".")[0] in siblings]:
                if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]
    for name, value in (("boto3", session), ("time", _clock())):
        if hasattr(loaded, name):
            setattr(loaded, name, value)
    return loaded


def _clock() -> types.SimpleNamespace:
    return types.SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(min(seconds, LONGEST_SLEEP)))


def _run(
    context: Context, kind: str, properties: Json, physical: str | None, old: Json | None = None
) -> tuple[str | None, Json]:
    """Call the function for a request of one kind (Create, Update, Delete).

    Returns:
        The physical id it chose, if any, and its data.
    """
    name, package = _package(context, str(properties["ServiceToken"]))
    module, function = name.rsplit(".", 1)
    event: Json = {
        "RequestType": kind,
        "ResponseURL": "",
        "StackId": context.stack.stack_id,
        "RequestId": str(uuid.uuid4()),
        "ResourceType": CUSTOM,
        "LogicalResourceId": context.logical_id,
        "ResourceProperties": properties,
    }
    event |= {"PhysicalResourceId": physical} if physical else {}
    event |= {"OldResourceProperties": old} if old is not None else {}
    with tempfile.TemporaryDirectory(prefix="cfn-custom-") as folder:
        loaded = _load(module, package, Path(folder), context.client.session())
        try:
            return _call(loaded, function, kind, event)
        except ResourceFailure:
            raise
        except Exception as error:
            raise handler_failure(f"{error}") from error


def _call(loaded: types.ModuleType, function: str, kind: str, event: Json) -> tuple[str | None, Json]:
    helper: Any = getattr(loaded, "helper", None)
    own = getattr(helper, f"_{kind.lower()}_func", None)
    if helper is not None and own is not None:
        physical = own(event, None)
        return (str(physical) if physical else None), dict(getattr(helper, "Data", {}) or {})
    if helper is not None:
        return None, {}
    sent: list[tuple[str, Json, str | None, str]] = []
    answers = getattr(loaded, "cfnresponse", None)
    if answers is None:
        raise ResourceFailure("not implemented by the local cloud: a custom resource without crhelper or cfnresponse")

    def send(
        _event: Any, _context: Any, status: str, data: Json, physical: str | None = None, *_: Any, **extra: Any
    ) -> None:
        sent.append((status, data or {}, physical or extra.get("physicalResourceId"), str(extra.get("reason", ""))))

    loaded.cfnresponse = types.SimpleNamespace(send=send, SUCCESS="SUCCESS", FAILED="FAILED")  # type: ignore[attr-defined]
    getattr(loaded, function)(event, types.SimpleNamespace(log_stream_name="local", aws_request_id=event["RequestId"]))
    if not sent:
        raise ResourceFailure("Custom Resource failed to stabilize in expected time.")
    status, data, physical, reason = sent[-1]
    if status != "SUCCESS":
        raise ResourceFailure(
            "Received response status [FAILED] from custom resource. Message returned:"
            f" {reason or 'See the details in CloudWatch Log Stream: local'}"
        )
    return physical, data


def _create(context: Context, properties: Json) -> Made:
    physical = f"{context.stack.name}_{context.logical_id}_{unique(8)}"
    context.begun(physical)
    chosen, data = _run(context, "Create", properties, None)
    return Made(chosen or physical, data)


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    _, data = _run(context, "Update", properties, existing.physical_id, existing.properties)
    return data


def _delete(context: Context, existing: Existing) -> None:
    _run(context, "Delete", existing.properties, existing.physical_id)


HANDLERS = (Handler(CUSTOM, frozenset({"ServiceToken", "ServiceTimeout"}), _create, _delete, _update),)
