"""Messages and frames as bytes: the client's, the local cloud's, and what is neither."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.localcloud.sessions import smux as their_smux
from pcinfra.localcloud.sessions import wire as theirs
from pcinfra.sessions.smux import Command, Frames, NotSmux, frame
from pcinfra.sessions.wire import INPUT, Kind, Malformed, Message

SIZES = st.binary(max_size=2000)
NUMBERS = st.integers(0, 2**63 - 1)
UUIDS = st.uuids()

RECORDED = bytes.fromhex(
    "00000074"
    "696e7075745f73747265616d5f64617461202020202020202020202020202020"  # input_stream_data and blanks
    "00000001"
    "0000018bcfe56800"
    "0000000000000007"
    "0000000000000000"
    "08090a0b0c0d0e0f0001020304050607"  # the second half of the UUID is first
    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # SHA-256 of hello
    "00000001"
    "00000005"
    "68656c6c6f"
)
"""Written field by field from the layout in the plug-in's sources."""


def test_a_message_is_the_bytes_that_the_layout_says() -> None:
    identity = uuid.UUID(bytes=bytes(range(16)))
    message = Message(INPUT, b"hello", Kind.DATA, 7, 0, identity, 1_700_000_000_000)
    assert message.encode() == RECORDED
    assert theirs.Message(theirs.INPUT, b"hello", theirs.DATA, 7, 0, identity, 1_700_000_000_000).encode() == RECORDED
    assert Message.decode(RECORDED) == message


@given(SIZES, st.sampled_from([1, 3, 5, 10, 12]), NUMBERS, st.integers(0, 3), UUIDS, st.integers(1, 2**63))
def test_each_reads_what_the_other_writes(
    payload: bytes, kind: int, number: int, flags: int, identity: uuid.UUID, created: int
) -> None:
    fields = (payload, kind, number, flags, identity, created)
    ours = Message("output_stream_data", *fields)
    assert theirs.decode(ours.encode()) == theirs.Message("output_stream_data", *fields)
    assert Message.decode(theirs.Message("output_stream_data", *fields).encode()) == ours


@given(st.one_of(st.binary(max_size=300), st.binary(min_size=120, max_size=400)))
def test_other_bytes_are_malformed_and_nothing_worse(data: bytes) -> None:
    for read in (Message.decode, theirs.decode):
        with pytest.raises((Malformed, theirs.Malformed)):
            read(data)


@given(st.data())
def test_a_message_that_was_changed_is_found_out(data: st.DataObject) -> None:
    raw = bytearray(RECORDED)
    at = data.draw(st.integers(80, len(raw) - 1).filter(lambda place: not 112 <= place < 116))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Malformed):
        Message.decode(bytes(raw))


@pytest.mark.parametrize("cut", [0, 1, 36, 119, 121, 124])
def test_a_message_that_was_cut_is_found_out(cut: int) -> None:
    with pytest.raises(Malformed):
        Message.decode(RECORDED[:cut])
    with pytest.raises(theirs.Malformed):
        theirs.decode(RECORDED[:cut])


FRAMES = st.lists(st.tuples(st.sampled_from(list(Command)), st.integers(0, 2**32 - 1), st.binary(max_size=300)))


@given(FRAMES, st.integers(1, 50))
def test_frames_come_out_of_any_pieces(sent: list[tuple[Command, int, bytes]], piece: int) -> None:
    stream = b"".join(frame(*each) for each in sent)
    assert stream == b"".join(their_smux.frame(*each) for each in sent)
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    frames, reader = Frames(), their_smux.Reader()
    assert [each for part in pieces for each in frames.add(part)] == sent
    assert [each for part in pieces for each in reader.feed(part)] == sent


@given(st.binary(min_size=8, max_size=50).filter(lambda data: data[0] != 1 or data[1] > 3))
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(NotSmux):
        list(Frames().add(data))
    with pytest.raises(their_smux.Broken):
        list(their_smux.Reader().feed(data))


def test_a_frame_is_the_bytes_that_smux_says() -> None:
    assert frame(Command.PSH, 3, b"ab") == bytes.fromhex("01020200030000006162")
