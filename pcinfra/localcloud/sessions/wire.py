"""The messages of a data channel, as bytes.

Source: amazon-ssm-agent, ``agent/session/contracts/agentmessage.go`` (layout, and what is checked of a message) and
``model.go`` (types).
"""

from __future__ import annotations

import hashlib
import struct
import time
import uuid
from dataclasses import dataclass, field

INPUT, OUTPUT, ACKNOWLEDGE = "input_stream_data", "output_stream_data", "acknowledge"
CHANNEL_CLOSED, START_PUBLICATION = "channel_closed", "start_publication"

DATA, SIZE, FLAG = 1, 3, 10
HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE = 5, 6, 7
"""Payload types."""

DISCONNECT_TO_PORT, TERMINATE_SESSION, CONNECT_TO_PORT_ERROR = 1, 2, 3
"""What a payload of type :data:`FLAG` says, as four bytes."""

PAYLOAD = 1024
"""Bytes of a stream that travel in one message (``StreamDataPayloadSize``)."""

_HEADER = struct.Struct(">I32sIQqQ16s32sII")
_HEADER_LENGTH = _HEADER.size - 4
"""What the first field says: the length of the header without the length of the payload, its last field."""


class Malformed(ValueError):
    """Bytes that are no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """``created``: milliseconds since 1970."""

    kind: str
    payload: bytes = b""
    payload_type: int = 0
    sequence: int = 0
    flags: int = 0
    identity: uuid.UUID = field(default_factory=uuid.uuid4)
    created: int = field(default_factory=lambda: int(time.time() * 1000))

    def encode(self) -> bytes:
        raw = self.identity.bytes
        return (
            _HEADER.pack(
                _HEADER_LENGTH,
                self.kind.encode().ljust(32),
                1,
                self.created,
                self.sequence,
                self.flags,
                raw[8:] + raw[:8],
                hashlib.sha256(self.payload).digest(),
                self.payload_type,
                len(self.payload),
            )
            + self.payload
        )


def decode(data: bytes) -> Message:
    """Return the message that ``data`` is. Its digest is not looked at: the agent does not, either.

    Raises:
        Malformed: it is none.
    """
    if len(data) < _HEADER.size:
        raise Malformed(f"{len(data)} bytes are too few")
    length, kind, _, created, sequence, flags, identity, _, payload_type, size = _HEADER.unpack_from(data)
    if length != _HEADER_LENGTH:
        raise Malformed(f"a header of {length} bytes")
    if size != len(data) - _HEADER.size:
        raise Malformed(f"{len(data) - _HEADER.size} bytes of payload instead of {size}")
    name = kind.strip(b"\0 ").decode("ascii", errors="replace")
    if not name or not created:
        raise Malformed("no type, or no date")
    return Message(
        name, data[_HEADER.size :], payload_type, sequence, flags, uuid.UUID(bytes=identity[8:] + identity[:8]), created
    )
