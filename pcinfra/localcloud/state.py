"""Everything that the services hold, kept across a restart.

One pickle of all backends at once, so that what points to each other still does. Objects of S3 above
:data:`INLINE` bytes lie beside it, each in a file named by its content, so that a large one is written once.
The directory is the user's own (mode 0700): a pickle from anywhere else must not be put there.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import logging
import marshal
import pickle
import platform
import sys
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import moto
import moto.backends
from moto.core.base_backend import BackendDict
from moto.s3.models import FakeKey
from moto.ssm.models import ParameterDict

import pcinfra
from pcinfra.errors import PcinfraError
from pcinfra.localcloud import snapshot
from pcinfra.localcloud.gate import turn

INLINE = 64 * 1024
"""Bytes up to which an S3 object is kept inside the snapshot."""

PAUSE = 0.4
"""Least seconds between two snapshots: what a kill -9 can lose."""

SETTLE = 10.0
"""Seconds after the last call in which changes that nobody asked for (an engine's, a clock's) are still looked for, the
more seldom the longer nothing has changed."""

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 5

Backends = dict[tuple[str, str, str], Any]
"""(service, account, region) to backend."""


def stamp() -> dict[str, str]:
    """Return the versions that a state depends on: a pickle holds their private attributes."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"pcinfra": pcinfra.__version__, "moto": moto.__version__, "python": python}


class Keeper:
    """Saves the state of this process to a directory in the background, and brings it back.

    Args:
        resources: number of resources by kind, written beside the state.
    """

    def __init__(self, directory: Path, resources: Callable[[], dict[str, int]]) -> None:
        self._path = directory / "state"
        self._objects = directory / "objects"
        self._resources = resources
        self._touched = threading.Event()
        self._last_touch = 0.0
        self._saving = threading.Lock()
        self._written = ""
        self._ended = False
        self._left_out: set[str] = set()

    def restore(self) -> bool:
        """Bring the saved state back; return whether there was one. Raises what :func:`snapshot.read` raises."""
        payload = snapshot.read(self._path, stamp())
        if payload is None:
            return False
        held = _Unpickler(io.BytesIO(payload), self._objects).load()
        _put_back(held)
        self._written = hashlib.sha256(payload).hexdigest()
        return True

    def start(self) -> None:
        """Begin to save in the background."""
        threading.Thread(target=self._run, name="state-keeper", daemon=True).start()

    def touch(self) -> None:
        """Say that something may have changed."""
        self._last_touch = time.monotonic()
        self._touched.set()

    def close(self) -> None:
        """Save for the last time."""
        self._ended = True
        self.save()

    def save(self) -> bool:
        """Write the state, unless it is what was written last; return whether it was another."""
        with self._saving:
            payload, objects = self._pickle()
            digest = hashlib.sha256(payload).hexdigest()
            if digest == self._written:
                return False
            snapshot.write(self._path, {"stamp": stamp(), "resources": self._resources()}, payload)
            self._written = digest
            self._sweep(objects)
            return True

    def _run(self) -> None:
        while not self._ended:
            self._touched.wait()
            self._touched.clear()
            pause = PAUSE
            while not self._ended and time.monotonic() - self._last_touch < SETTLE:
                self._touched.clear()
                began = time.monotonic()
                pause = PAUSE if self._try_save() else pause * 2
                time.sleep(max(PAUSE, 10 * (time.monotonic() - began)))
                self._touched.wait(pause - PAUSE)

    def _try_save(self) -> bool:
        try:
            return self.save()
        except Exception:  # the next turn tries again, and the last save at the end reports
            _LOG.exception("the state could not be saved")
            return True

    def _pickle(self) -> tuple[bytes, set[str]]:
        """Take a snapshot between two calls; again, should a thread change something outside of any call."""
        for _ in range(_ATTEMPTS):
            out = io.BytesIO()
            pickler = _Pickler(out, self._objects)
            try:
                with turn("snapshot"):
                    pickler.dump(_held(self._left_out))
                return out.getvalue(), pickler.objects
            except RuntimeError:  # "dictionary changed size during iteration"
                time.sleep(0.05)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                self._leave_out_unpicklable(error)
        raise PcinfraError("the state cannot be saved: it does not stand still", where=str(self._path))

    def _leave_out_unpicklable(self, error: Exception) -> None:
        """One service that holds something unheard of must not cost the state of all others."""
        bad = {service.service_name for service in _services() if not self._picklable(service)}
        _LOG.warning("not kept across a restart: %s (%s)", ", ".join(sorted(bad - self._left_out)), error)
        self._left_out |= bad

    def _picklable(self, service: Any) -> bool:
        try:
            with turn("snapshot"):
                _Pickler(io.BytesIO(), self._objects).dump([b for _, _, b in list(service.iter_backends())])
        except (pickle.PicklingError, AttributeError, TypeError):
            return False
        return True

    def _sweep(self, wanted: set[str]) -> None:
        if self._objects.is_dir():
            for file in self._objects.iterdir():
                if file.name not in wanted:
                    file.unlink(missing_ok=True)


def _services() -> list[Any]:
    """moto's own list of the services that have been called."""
    registry: Any = BackendDict
    return list(registry._instances)


def _held(left_out: set[str]) -> dict[str, Any]:
    backends: Backends = {}
    extras: dict[str, Any] = {}
    for service in [service for service in _services() if service.service_name not in left_out]:
        for account, regions in list(dict.items(service)):
            for region, backend in list(dict.items(regions)):
                backends[service.service_name, account, region] = backend
        if hasattr(service, "bucket_accounts"):
            extras[service.service_name] = service.bucket_accounts
    return {"backends": backends, "bucket_accounts": extras}


def _put_back(held: dict[str, Any]) -> None:
    for (service, account, region), backend in held["backends"].items():
        dict.__setitem__(moto.backends.get_backend(service)[account], region, backend)
    for service, owners in held["bucket_accounts"].items():
        globally: Any = moto.backends.get_backend(service)
        globally.bucket_accounts.update(owners)


_SEEN = "_pcinfra_body"
"""Attribute of an S3 object: what its body was when it was last written to a file, and that file's name."""


@dataclass(frozen=True, slots=True)
class _Body:
    """Stands for the body of an S3 object that lies in the file ``name``."""

    name: str


class _Pickler(pickle.Pickler):
    """Pickles what pickle's registry cannot name: lambdas, private keys, and large objects of S3."""

    def __init__(self, file: io.BytesIO, objects: Path) -> None:
        super().__init__(file, protocol=5)
        self._directory = objects
        self.objects: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FakeKey and obj.contentsize > INLINE and not obj.disposed:
            return self._large_object(obj)
        if type(obj).__module__.startswith("cryptography.") and hasattr(obj, "private_bytes"):
            return _private_key(obj)
        if isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>" and not obj.__closure__:
            return _function, (marshal.dumps(obj.__code__), obj.__module__)
        return NotImplemented

    def persistent_id(self, obj: Any) -> Any:
        return obj.name if type(obj) is _Body else None

    def _large_object(self, key: FakeKey) -> Any:
        """The body goes to a file of its own, named by its content and written when the object is first seen."""
        version = (key.contentsize, key.last_modified)
        known, name = key.__dict__.get(_SEEN, (None, ""))
        if known != version:
            name = self._keep(key.value)
            key.__dict__[_SEEN] = (version, name)
        self.objects.add(name)
        left_out = ("_value_buffer", "lock", _SEEN)
        fields = {field: value for field, value in key.__dict__.items() if field not in left_out}
        return _object, (fields, _Body(name))

    def _keep(self, body: bytes) -> str:
        name = hashlib.sha256(body).hexdigest()
        file = self._directory / name
        if not file.exists():
            self._directory.mkdir(exist_ok=True, mode=0o700)
            partial = file.with_suffix(".tmp")
            partial.write_bytes(body)
            partial.replace(file)
        return name


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, objects: Path) -> None:
        super().__init__(file)
        self._directory = objects

    def persistent_load(self, pid: Any) -> Any:
        return (self._directory / str(pid)).read_bytes()


def _private_key(key: Any) -> Any:
    """The asymmetric keys of KMS."""
    from cryptography.hazmat.primitives import serialization as form

    text = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return _read_private_key, (text,)


def _read_private_key(text: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(text, None)


def _function(code: bytes, module: str) -> types.FunctionType:
    __import__(module)
    return types.FunctionType(marshal.loads(code), vars(sys.modules[module]))  # noqa: S302 - our own state


def _object(fields: dict[str, Any], body: bytes) -> Any:
    key: Any = FakeKey.__new__(FakeKey)
    key.__setstate__({**fields, "value": body})
    return key


def _register() -> None:
    """Tell pickle how to take what moto's backends hold beside plain objects."""
    copyreg.pickle(type(threading.Lock()), lambda _: (threading.Lock, ()))
    copyreg.pickle(type(threading.RLock()), lambda _: (threading.RLock, ()))
    copyreg.pickle(ParameterDict, _parameters)
    copyreg.pickle(WeakValueDictionary, _weak_values)


def _parameters(held: ParameterDict) -> Any:
    return ParameterDict, (held.account_id, held.region_name), None, None, iter(held.items())


def _weak_values(held: Any) -> Any:
    return WeakValueDictionary, (), None, None, iter(list(held.items()))


_register()
