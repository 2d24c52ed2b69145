"""The messages of a data channel, as bytes.

Source: session-manager-plugin, ``src/message/clientmessage.go`` (layout, types), ``messageparser.go`` (what makes one
valid) and ``handshakemessage.go``.

A message is: the length of its header (4 bytes, that of the payload's length not counted), its type (32, filled with
blanks), version of the schema (4), milliseconds since 1970 (8), number in the stream (8), flags (8), a UUID with its
halves exchanged (16), SHA-256 of the payload (32), type of the payload (4), its length (4), the payload. Numbers have
their high byte first.
"""

from __future__ import annotations

import hashlib
import struct
import time
import uuid
from dataclasses import dataclass, field
from enum import IntEnum


class Kind(IntEnum):
    """What a payload is."""

    NONE = 0
    DATA = 1
    ERROR = 2
    SIZE = 3
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    FLAG = 10
    STDERR = 11
    EXIT_CODE = 12


class Flag(IntEnum):
    """What a payload of kind FLAG says, in four bytes."""

    DISCONNECT_TO_PORT = 1
    TERMINATE_SESSION = 2
    CONNECT_TO_PORT_ERROR = 3

    @property
    def payload(self) -> bytes:
        return self.to_bytes(4, "big")


INPUT, OUTPUT, ACKNOWLEDGE, CHANNEL_CLOSED = "input_stream_data", "output_stream_data", "acknowledge", "channel_closed"
SYN_FIN = 3
"""Flags of a message that is a stream of its own."""

PIECE = 1024
"""Bytes of a stream that travel in one message (StreamDataPayloadSize)."""

_FIXED = struct.Struct(">I32sIQqQ16s32sII")
_HEADER = _FIXED.size - 4


class Malformed(ValueError):
    """Bytes that are no message."""


@dataclass(frozen=True, slots=True)
class Message:
    type: str
    payload: bytes = b""
    kind: int = Kind.NONE
    sequence: int = 0
    flags: int = 0
    identity: uuid.UUID = field(default_factory=uuid.uuid4)
    created: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def encode(self) -> bytes:
        kind = self.type.encode("ascii").ljust(32)
        halves = self.identity.bytes[8:] + self.identity.bytes[:8]
        digest = hashlib.sha256(self.payload).digest()
        numbers = (self.created, self.sequence, self.flags)
        return _FIXED.pack(_HEADER, kind, 1, *numbers, halves, digest, self.kind, len(self.payload)) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Return the message that ``data`` is.

        Raises:
            Malformed: it is none, or its payload is not what its digest says.
        """
        if len(data) < _FIXED.size:
            raise Malformed(f"{len(data)} bytes")
        header, name, _, created, sequence, flags, halves, digest, kind, length = _FIXED.unpack_from(data)
        payload = data[_FIXED.size :]
        if header != _HEADER or length != len(payload):
            raise Malformed(f"header of {header} bytes, payload of {length} in a message of {len(data)}")
        type_ = name.strip(b"\0 ").decode("ascii", "replace")
        if not type_:
            raise Malformed("it has no type")
        if payload and hashlib.sha256(payload).digest() != digest:
            raise Malformed("its payload is not what its digest says")
        return cls(type_, payload, kind, sequence, flags, uuid.UUID(bytes=halves[8:] + halves[:8]), created)
