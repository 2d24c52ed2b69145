"""The server's side of smux, version 1: many connections in one stream of bytes.

Source: github.com/xtaci/smux, ``frame.go`` and ``session.go``. A frame is its version, its command, the length of its
data and the number of its connection, the last two with the low byte first; then the data. SSM Agent serves it in a
port session (amazon-ssm-agent, ``port_mux.go``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

SYN, FIN, PSH, NOP = range(4)
LARGEST = 32_768
"""Bytes of data in one frame (``MaxFrameSize``)."""

_HEADER = struct.Struct("<BBHI")
_VERSION = 1


class Broken(ValueError):
    """The stream is no smux, and cannot go on."""


def frame(command: int, stream: int, data: bytes = b"") -> bytes:
    return _HEADER.pack(_VERSION, command, len(data), stream) + data


class Reader:
    """Finds the frames in pieces of a stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield command, number and data of every frame that is complete now.

        Raises:
            Broken: what came is none.
        """
        self._rest += piece
        while len(self._rest) >= _HEADER.size:
            version, command, length, stream = _HEADER.unpack_from(self._rest)
            if version != _VERSION or command > NOP:
                raise Broken(f"version {version}, command {command}")
            end = _HEADER.size + length
            if len(self._rest) < end:
                return
            data, self._rest = self._rest[_HEADER.size : end], self._rest[end:]
            yield command, stream, data
