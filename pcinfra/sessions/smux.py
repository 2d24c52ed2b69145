"""Many connections in one stream of bytes: the client's side of smux, version 1.

Source: github.com/xtaci/smux, ``frame.go``, ``session.go`` (a client's connections have odd numbers from 3 on) and
``mux.go`` (a peer that hears nothing for 30 seconds hangs up). SSM Agent serves it to clients that say a version of
1.1.70 or newer (amazon-ssm-agent, ``agent/session/plugins/port/port.go``); agents newer than 3.1.1511.0 do not ask for
signs of life (session-manager-plugin, ``muxportforwarding.go``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum


class Command(IntEnum):
    SYN = 0
    FIN = 1
    PSH = 2
    NOP = 3


LARGEST = 32_768
"""Bytes of data in one frame at most (MaxFrameSize)."""

_HEAD = struct.Struct("<BBHI")
_VERSION = 1


class NotSmux(ValueError):
    """The stream cannot be understood from here on."""


def frame(command: Command, number: int = 0, data: bytes = b"") -> bytes:
    """Return a frame: version, command, length of its data, number of the connection (low bytes first), data."""
    return _HEAD.pack(_VERSION, command, len(data), number) + data


class Frames:
    """Puts the frames together again from pieces of the stream."""

    def __init__(self) -> None:
        self._held = bytearray()

    def add(self, piece: bytes) -> Iterator[tuple[Command, int, bytes]]:
        """Yield every frame that is whole now: its command, number and data.

        Raises:
            NotSmux: this is no frame.
        """
        self._held += piece
        while len(self._held) >= _HEAD.size:
            version, command, length, number = _HEAD.unpack_from(self._held)
            if version != _VERSION or command not in list(Command):
                raise NotSmux(f"a frame of version {version} with command {command}")
            if len(self._held) < _HEAD.size + length:
                return
            data = bytes(self._held[_HEAD.size : _HEAD.size + length])
            del self._held[: _HEAD.size + length]
            yield Command(command), number, data
