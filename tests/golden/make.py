#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the golden frame streams, NAME.hex, and what they mean, NAME.txt.

Role:  the second opinion on the wire format. It shares nothing with proto/: headers are struct.pack, control
       parts are varints written by hand from the field numbers in npumm.proto. A change of the wire must be
       made here too, and shows in the files.
Usage: make.py          writes the files beside this script
       make.py --check  compares them, and the worked example in proto/README.md, with what would be written
"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parent.parent / "proto" / "README.md"

(HELLO, ARENA_CREATE, ARENA_RELEASE, MATMUL, CANCEL, STATUS, PING, WEIGHTS_LOAD, WEIGHTS_RELEASE,
 SET, RING_START) = range(1, 12)
(WELCOME, ARENA_CREATED, ARENA_RELEASED, ROWS, DONE, STATUS_REPORT, PONG, ERROR, BYE, WEIGHTS_LOADED,
 WEIGHTS_RELEASED, SET_DONE, RING_STARTED) = range(65, 78)
NAMES = {HELLO: "HELLO", ARENA_CREATE: "ARENA_CREATE", ARENA_RELEASE: "ARENA_RELEASE", MATMUL: "MATMUL",
         CANCEL: "CANCEL", STATUS: "STATUS", PING: "PING", WEIGHTS_LOAD: "WEIGHTS_LOAD",
         WEIGHTS_RELEASE: "WEIGHTS_RELEASE", SET: "SET", WELCOME: "WELCOME", ARENA_CREATED: "ARENA_CREATED",
         ARENA_RELEASED: "ARENA_RELEASED", ROWS: "ROWS", DONE: "DONE", STATUS_REPORT: "STATUS_REPORT",
         PONG: "PONG", ERROR: "ERROR", BYE: "BYE", WEIGHTS_LOADED: "WEIGHTS_LOADED",
         WEIGHTS_RELEASED: "WEIGHTS_RELEASED", SET_DONE: "SET_DONE", RING_START: "RING_START",
         RING_STARTED: "RING_STARTED"}


# ---- bytes, each piece with a note: a list of (bytes, note) ----

def varint(number, pad_to=0):
    """Seven bits a byte, low bits first; `pad_to` makes it longer than need be, which readers must take."""
    out = bytearray()
    while number > 0x7f or len(out) + 1 < pad_to:
        out.append(0x80 | (number & 0x7f))
        number >>= 7
    out.append(number)
    return bytes(out)


def num(field, name, number, pad_to=0):
    return [(varint(field << 3 | 0) + varint(number, pad_to), f"{field} {name} = {number}")]


def text(field, name, string):
    raw = string.encode()
    shown = string.encode("unicode_escape").decode()
    return [(varint(field << 3 | 2) + varint(len(raw)) + raw, f'{field} {name} = "{shown}"')]


def sub(field, name, *fields):
    inner = [piece for f in fields for piece in f]
    size = sum(len(raw) for raw, _ in inner)
    head = (varint(field << 3 | 2) + varint(size), f"{field} {name}: message of {size} bytes")
    return [head] + [(raw, "  " + note) for raw, note in inner]


def operand(field, name, arena=0, offset=0, ld=0):
    fields = []
    if arena:
        fields.append(num(1, "arena", arena))
    if offset:
        fields.append(num(2, "offset_bytes", offset))
    if ld:
        fields.append(num(3, "ld_elems", ld))
    return sub(field, name, *fields)


def frame(kind, request_id, *control, payload=()):
    control = [piece for field in control for piece in field]
    control_bytes = sum(len(raw) for raw, _ in control)
    payload_bytes = sum(len(raw) for raw, _ in payload)
    return [
        (b"NPMM", 'magic "NPMM"'),
        (struct.pack("<H", 1), "major version 1"),
        (struct.pack("<H", kind), f"type {kind}, {NAMES[kind]}"),
        (struct.pack("<I", 0), "flags"),
        (struct.pack("<I", control_bytes), f"control_bytes = {control_bytes}"),
        (struct.pack("<Q", payload_bytes), f"payload_bytes = {payload_bytes}"),
        (struct.pack("<Q", request_id), f"request_id = {request_id}"),
    ] + control + list(payload)


def dump(frames):
    """Lines of `offset: bytes  # note`, at most eight bytes a line; the offset counts from the stream's start."""
    lines, at = [], 0
    for pieces in frames:
        if lines:
            lines.append("")
        for raw, note in pieces:
            for i in range(0, len(raw), 8):
                part = " ".join(f"{byte:02x}" for byte in raw[i:i + 8])
                lines.append(f"{at:04x}: {part:<23}  # {note if i == 0 else '...'}".rstrip())
                at += len(raw[i:i + 8])
    return lines


# ---- the streams: name -> (frames, what they mean) ----

def int8(*numbers):
    return struct.pack(f"<{len(numbers)}b", *numbers)


def int32(*numbers):
    return struct.pack(f"<{len(numbers)}i", *numbers)


def float32(*numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


def outcome(kind, request_id, status, words):
    fields = []
    if status:
        fields.append(num(1, "status", status))
    if words:
        fields.append(text(2, "text", words))
    return frame(kind, request_id, *fields)


STREAMS = {}

# The worked example of proto/README.md.
STREAMS["example-client"] = ([
    frame(HELLO, 1, text(3, "client_name", "example")),
    frame(MATMUL, 2, num(1, "m", 2), num(2, "k", 3), num(3, "n", 2), operand(4, "a"),
          operand(5, "b", offset=6), operand(8, "c"),
          payload=[(int8(1, 2, 3), "A row 0: 1 2 3"), (int8(4, 5, -6), "A row 1: 4 5 -6"),
                   (int8(7, -8), "B row 0: 7 -8"), (int8(9, 10), "B row 1: 9 10"),
                   (int8(11, 12), "B row 2: 11 12")]),
], """\
HELLO id=1 version_minor=0 features=0x0 client_name="example"
MATMUL id=2 m=2 k=3 n=2 output=0 shift=0 rounding=0 b_transposed=0
  a arena=0 offset=0 ld=3 extent=6
  b arena=0 offset=6 ld=2 extent=6
  c arena=0 offset=0 ld=2 extent=16
  payload 0102030405fa07f8090a0b0c
""")

STREAMS["example-daemon"] = ([
    frame(WELCOME, 1, text(3, "daemon_version", "0.1.0"), text(4, "backend", "cpu"),
          sub(5, "limits", num(1, "control_bytes", 65536), num(2, "payload_bytes", 64 << 20),
              num(3, "arena_bytes", 4 << 30), num(4, "arenas", 64), num(5, "uid_bytes", 4 << 30),
              num(6, "jobs", 256))),
    frame(ROWS, 2, num(2, "rows", 2),
          payload=[(int32(58, 48), "C row 0: 58 48"), (int32(7, -54), "C row 1: 7 -54")]),
    frame(DONE, 2),
], """\
WELCOME id=1 version_minor=0 features=0x0 daemon_version="0.1.0" backend="cpu"
  control_bytes=65536 payload_bytes=67108864 arena_bytes=4294967296 arenas=64 uid_bytes=4294967296 jobs=256
ROWS id=2 first_row=0 rows=2
  payload 3a0000003000000007000000caffffff
DONE id=2 status=OK text=""
""")

STREAMS["client-arenas"] = ([
    frame(ARENA_CREATE, 2, num(1, "size_bytes", 16 << 20)),
    frame(MATMUL, 3, num(1, "m", 500), num(2, "k", 512), num(3, "n", 511),
          operand(4, "a", arena=1, ld=512), operand(5, "b", arena=1, offset=256000, ld=520),
          num(7, "b_transposed", 1), operand(8, "c", arena=2, offset=4096, ld=512)),
    frame(ARENA_RELEASE, 18446744073709551615, num(1, "arena", 4294967295)),
], """\
ARENA_CREATE id=2 size_bytes=16777216
MATMUL id=3 m=500 k=512 n=511 output=0 shift=0 rounding=0 b_transposed=1
  a arena=1 offset=0 ld=512 extent=256000
  b arena=1 offset=256000 ld=520 extent=265712
  c arena=2 offset=4096 ld=512 extent=1023996
ARENA_RELEASE id=18446744073709551615 arena=4294967295
""")

STREAMS["client-forms"] = ([
    frame(MATMUL, 10, num(1, "m", 1), num(2, "k", 2), num(3, "n", 1), operand(4, "a", ld=2),
          operand(5, "b", offset=2, ld=1), operand(8, "c", ld=1), num(9, "output", 1), num(10, "shift", 31),
          num(11, "rounding", 1), payload=[(int8(-128, 127), "A"), (int8(127, -1), "B")]),
    frame(MATMUL, 11, num(1, "m", 2), num(2, "k", 1), num(3, "n", 3), operand(4, "a", offset=32, ld=1),
          operand(5, "b", offset=34, ld=3), operand(8, "c", ld=3), num(9, "output", 2),
          operand(12, "row_scale"), operand(13, "col_scale", offset=8), operand(14, "bias", offset=20),
          payload=[(float32(0.5, -2.0), "row_scale: 0.5 -2"), (float32(1.0, 0.25, 4.0), "col_scale: 1 0.25 4"),
                   (float32(0.0, -1.0, 1e30), "bias: 0 -1 1e30"), (int8(3, -4), "A"), (int8(5, 6, 7), "B")]),
    frame(MATMUL, 12, num(1, "m", 16), num(2, "k", 16), num(3, "n", 16), operand(4, "a", arena=3, ld=16),
          num(6, "weights", 1 << 63), operand(8, "c", arena=3, offset=256, ld=16), num(9, "output", 3)),
], """\
MATMUL id=10 m=1 k=2 n=1 output=1 shift=31 rounding=1 b_transposed=0
  a arena=0 offset=0 ld=2 extent=2
  b arena=0 offset=2 ld=1 extent=2
  c arena=0 offset=0 ld=1 extent=1
  payload 807f7fff
MATMUL id=11 m=2 k=1 n=3 output=2 shift=0 rounding=0 b_transposed=0
  a arena=0 offset=32 ld=1 extent=2
  b arena=0 offset=34 ld=3 extent=3
  c arena=0 offset=0 ld=3 extent=24
  row_scale arena=0 offset=0 ld=2 extent=8
  col_scale arena=0 offset=8 ld=3 extent=12
  bias arena=0 offset=20 ld=3 extent=12
  payload 0000003f000000c00000803f0000803e0000804000000000000080bfcaf2497103fc050607
MATMUL id=12 m=16 k=16 n=16 output=3 shift=0 rounding=0 b_transposed=0
  a arena=3 offset=0 ld=16 extent=256
  weights=9223372036854775808
  c arena=3 offset=256 ld=16 extent=256
""")

STREAMS["client-weights"] = ([
    frame(WEIGHTS_LOAD, 2, num(1, "k", 512), num(2, "n", 511), operand(3, "b", arena=1, offset=63, ld=520),
          num(4, "b_transposed", 1)),
    frame(WEIGHTS_LOAD, 3, num(1, "k", 3), num(2, "n", 2), operand(3, "b", ld=2),
          payload=[(int8(7, -8), "B row 0: 7 -8"), (int8(9, 10), "B row 1: 9 10"),
                   (int8(11, 12), "B row 2: 11 12")]),
    frame(MATMUL, 4, num(1, "m", 1), num(2, "k", 3), num(3, "n", 2), operand(4, "a", arena=1, ld=3),
          num(6, "weights", (1 << 64) - 1), operand(8, "c", arena=1, offset=64, ld=2), num(15, "class", 1),
          num(16, "deadline_us", 3600000000), num(17, "more", 1)),
    frame(MATMUL, 5, num(1, "m", 1), num(2, "k", 512), num(3, "n", 511), operand(4, "a", arena=1, ld=512),
          num(6, "weights", 1), operand(8, "c", ld=511), num(15, "class", 2)),
    frame(WEIGHTS_RELEASE, 6, num(1, "weights", (1 << 64) - 1)),
    frame(SET, 7, text(1, "key", "policy"), text(2, "value", "hold")),
    frame(SET, 8),
], """\
WEIGHTS_LOAD id=2 k=512 n=511 b_transposed=1
  b arena=1 offset=63 ld=520 extent=265712
WEIGHTS_LOAD id=3 k=3 n=2 b_transposed=0
  b arena=0 offset=0 ld=2 extent=6
  payload 07f8090a0b0c
MATMUL id=4 m=1 k=3 n=2 output=0 shift=0 rounding=0 b_transposed=0
  class=1 deadline_us=3600000000 more=1
  a arena=1 offset=0 ld=3 extent=3
  weights=18446744073709551615
  c arena=1 offset=64 ld=2 extent=8
MATMUL id=5 m=1 k=512 n=511 output=0 shift=0 rounding=0 b_transposed=0
  class=2 deadline_us=0 more=0
  a arena=1 offset=0 ld=512 extent=512
  weights=1
  c arena=0 offset=0 ld=511 extent=2044
WEIGHTS_RELEASE id=6 weights=18446744073709551615
SET id=7 key="policy" value="hold"
SET id=8 key="" value=""
""")

STREAMS["client-weights-refused"] = ([
    frame(WEIGHTS_LOAD, 1, num(1, "k", 3), num(2, "n", 2)),
    frame(WEIGHTS_LOAD, 2, num(1, "k", 131072), num(2, "n", 2), operand(3, "b", arena=1)),
    frame(WEIGHTS_LOAD, 3, num(1, "k", 3), num(2, "n", 2), operand(3, "b", ld=1)),
    frame(WEIGHTS_LOAD, 4, num(1, "k", 3), num(2, "n", 2), operand(3, "b"),
          payload=[(int8(7, -8, 9, 10, 11), "a byte too few")]),
    frame(WEIGHTS_LOAD, 5, num(1, "k", 3), num(2, "n", 2), operand(3, "b", arena=1),
          payload=[(int8(7), "which nobody reads")]),
    frame(WEIGHTS_RELEASE, 6),
    frame(SET, 7, text(1, "key", "k" * 33), text(2, "value", "v")),
    frame(SET, 8, text(1, "key", "k"), text(2, "value", "v" * 65)),
    frame(MATMUL, 9, num(1, "m", 1), num(2, "k", 3), num(3, "n", 2), operand(4, "a", arena=1),
          num(6, "weights", 0), operand(8, "c")),
    frame(MATMUL, 10, num(1, "m", 1), num(2, "k", 3), num(3, "n", 2), operand(4, "a", arena=1),
          num(6, "weights", 1), num(7, "b_transposed", 1), operand(8, "c")),
    frame(MATMUL, 11, num(1, "m", 1), num(2, "k", 3), num(3, "n", 2), operand(4, "a", arena=1),
          num(6, "weights", 1), operand(8, "c"), num(15, "class", 3)),
    frame(MATMUL, 12, num(1, "m", 1), num(2, "k", 3), num(3, "n", 2), operand(4, "a", arena=1),
          num(6, "weights", 1), operand(8, "c"), num(16, "deadline_us", 3600000001)),
    frame(WEIGHTS_RELEASE, 13, text(1, "weights", "one")),
], """\
WEIGHTS_LOAD id=1 refused with INVALID
WEIGHTS_LOAD id=2 refused with INVALID
WEIGHTS_LOAD id=3 refused with INVALID
WEIGHTS_LOAD id=4 refused with INVALID
  payload 07f8090a0b
WEIGHTS_LOAD id=5 refused with INVALID
  payload 07
WEIGHTS_RELEASE id=6 refused with INVALID
SET id=7 refused with INVALID
SET id=8 refused with INVALID
MATMUL id=9 refused with INVALID
MATMUL id=10 refused with INVALID
MATMUL id=11 refused with INVALID
MATMUL id=12 refused with INVALID
WEIGHTS_RELEASE id=13 refused with PROTOCOL
""")

STREAMS["client-ring"] = ([
    frame(HELLO, 1, num(1, "version_minor", 2), num(2, "features", 1)),
    frame(RING_START, 2, num(1, "arena", 1), num(2, "offset_bytes", 64), num(3, "submission_bytes", 4096),
          num(4, "completion_bytes", 1 << 20)),
], """\
HELLO id=1 version_minor=2 features=0x1 client_name=""
RING_START id=2 arena=1 offset=64 submission=4096 completion=1048576
""")

STREAMS["client-ring-refused"] = ([
    frame(RING_START, 3, num(3, "submission_bytes", 4096), num(4, "completion_bytes", 12288)),
    frame(RING_START, 4, num(3, "submission_bytes", 2048), num(4, "completion_bytes", 4096)),
    frame(RING_START, 5, num(3, "submission_bytes", 4096), num(4, "completion_bytes", 1 << 21)),
    frame(RING_START, 6, num(2, "offset_bytes", 32), num(3, "submission_bytes", 4096),
          num(4, "completion_bytes", 4096)),
    frame(RING_START, 7, num(2, "offset_bytes", (1 << 64) - 64), num(3, "submission_bytes", 4096),
          num(4, "completion_bytes", 4096)),
    frame(RING_START, 8),
], """\
RING_START id=3 refused with INVALID
RING_START id=4 refused with INVALID
RING_START id=5 refused with INVALID
RING_START id=6 refused with INVALID
RING_START id=7 refused with INVALID
RING_START id=8 refused with INVALID
""")

STREAMS["daemon-ring"] = ([
    frame(RING_STARTED, 2),
], """\
RING_STARTED id=2
""")

STREAMS["client-bare"] = ([
    frame(STATUS, 7),
    frame(PING, 8),
    frame(CANCEL, 3),
], """\
STATUS id=7
PING id=8
CANCEL id=3
""")

STREAMS["client-refused"] = ([
    frame(MATMUL, 1, num(1, "m", 2), num(2, "k", 131072), num(3, "n", 2), operand(4, "a", arena=1),
          operand(5, "b", arena=1, offset=262144), operand(8, "c", arena=2)),
    frame(ARENA_CREATE, 2),
    frame(MATMUL, 3, num(1, "m", 2), num(2, "k", 3), num(3, "n", 2), operand(4, "a"),
          operand(5, "b", offset=6), operand(8, "c"), payload=[(int8(1, 2, 3, 4), "8 bytes too few")]),
    frame(PING, 4, num(1, "nothing", 1)),
    frame(HELLO, 5, [(b"\x1a\x7f", "3 client_name: 127 bytes, none of which come")]),
], """\
MATMUL id=1 refused with INVALID
ARENA_CREATE id=2 refused with INVALID
MATMUL id=3 refused with INVALID
  payload 01020304
PING id=4 refused with PROTOCOL
HELLO id=5 refused with PROTOCOL
""")

# What a client of a later minor version may send: unknown fields of every wire type, fields out of order and
# given twice (the last counts), zeros and booleans spelled out, varints longer than need be.
STREAMS["client-newer"] = ([
    frame(HELLO, 1, num(1, "version_minor", 7), num(2, "features", 1 << 40), num(99, "unknown", 5),
          text(3, "client_name", "first"), [(varint(100 << 3 | 1) + bytes(8), "100 unknown, 64 bits")],
          [(varint(101 << 3 | 5) + bytes(4), "101 unknown, 32 bits")], text(102, "unknown", "x" * 20),
          text(3, "client_name", "last")),
    frame(MATMUL, 2, num(9, "output", 0), num(7, "b_transposed", 0), operand(8, "c"), num(3, "n", 2),
          num(2, "k", 3, pad_to=4), num(1, "m", 1), num(1, "m", 2), operand(5, "b", offset=6),
          sub(4, "a", num(3, "ld_elems", 4), num(2, "offset_bytes", 0), num(15, "unknown", 1),
              num(3, "ld_elems", 3)),
          sub(200, "unknown", num(1, "unknown", 1)), num(536870911, "unknown, the largest number", 1),
          payload=[(int8(1, 2, 3, 4, 5, -6), "A"), (int8(7, -8, 9, 10, 11, 12), "B")]),
    frame(MATMUL, 3, num(1, "m", 2), num(2, "k", 3), num(3, "n", 2), operand(4, "a", arena=1),
          num(6, "weights", 7), operand(8, "c", arena=2), num(18, "unknown", 1), num(17, "more", 1),
          num(16, "deadline_us", 3600000001), num(16, "deadline_us", 0, pad_to=10), num(15, "class", 3),
          num(15, "class", 0)),
    frame(WEIGHTS_LOAD, 4, num(5, "unknown", 1), num(4, "b_transposed", 0),
          sub(3, "b", num(3, "ld_elems", 1), num(4, "unknown", 1), num(1, "arena", 1), num(3, "ld_elems", 0)),
          num(2, "n", 0), num(2, "n", 2), num(1, "k", 3, pad_to=10)),
    frame(WEIGHTS_RELEASE, 5, num(1, "weights", 0), text(2, "unknown", "x"), num(1, "weights", 7, pad_to=10)),
    frame(SET, 6, text(2, "value", "first"), text(3, "unknown", "x"), text(2, "value", "a\nb\x7f"),
          text(1, "key", "k" * 32)),
], """\
HELLO id=1 version_minor=7 features=0x10000000000 client_name="last"
MATMUL id=2 m=2 k=3 n=2 output=0 shift=0 rounding=0 b_transposed=0
  a arena=0 offset=0 ld=3 extent=6
  b arena=0 offset=6 ld=2 extent=6
  c arena=0 offset=0 ld=2 extent=16
  payload 0102030405fa07f8090a0b0c
MATMUL id=3 m=2 k=3 n=2 output=0 shift=0 rounding=0 b_transposed=0
  class=0 deadline_us=0 more=1
  a arena=1 offset=0 ld=3 extent=6
  weights=7
  c arena=2 offset=0 ld=2 extent=16
WEIGHTS_LOAD id=4 k=3 n=2 b_transposed=0
  b arena=1 offset=0 ld=2 extent=6
WEIGHTS_RELEASE id=5 weights=7
SET id=6 key="kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" value="a?b?"
""")

STREAMS["daemon-arenas"] = ([
    frame(ARENA_CREATED, 2, num(1, "arena", 1), num(2, "size_bytes", 16 << 20)),
    frame(ARENA_RELEASED, 3),
    outcome(ERROR, 4, 2, "arena 7 is not one of this connection"),
    outcome(ERROR, 5, 3, "arenas of this connection: 64 of 64"),
], """\
ARENA_CREATED id=2 arena=1 size_bytes=16777216
ARENA_RELEASED id=3
ERROR id=4 status=NOT_FOUND text="arena 7 is not one of this connection"
ERROR id=5 status=BUSY text="arenas of this connection: 64 of 64"
""")

STREAMS["daemon-weights"] = ([
    frame(WEIGHTS_LOADED, 2, num(1, "weights", (1 << 64) - 1), num(2, "charged_bytes", 262144)),
    frame(WEIGHTS_LOADED, 3, num(1, "weights", 1), num(3, "shared", 1)),
    frame(WEIGHTS_RELEASED, 6),
    frame(SET_DONE, 7),
    outcome(ERROR, 8, 11, "only root and the daemon's own user may SET"),
], """\
WEIGHTS_LOADED id=2 weights=18446744073709551615 charged_bytes=262144 shared=0
WEIGHTS_LOADED id=3 weights=1 charged_bytes=0 shared=1
WEIGHTS_RELEASED id=6
SET_DONE id=7
ERROR id=8 status=DENIED text="only root and the daemon's own user may SET"
""")

STREAMS["daemon-ends"] = ([
    frame(ROWS, 9, num(1, "first_row", 4294967296), num(2, "rows", 1)),
    outcome(DONE, 9, 0, ""),
    outcome(DONE, 10, 1, "invalid"),
    outcome(DONE, 11, 4, "late"),
    outcome(DONE, 12, 5, ""),
    outcome(DONE, 13, 6, "device"),
    outcome(DONE, 14, 7, "internal"),
    outcome(BYE, 0, 8, "wrong magic"),
    outcome(BYE, 0, 9, "version 2; this is 1"),
    outcome(BYE, 0, 10, "too big"),
    outcome(BYE, 0, 0, "the daemon is stopping"),
], """\
ROWS id=9 first_row=4294967296 rows=1
DONE id=9 status=OK text=""
DONE id=10 status=INVALID text="invalid"
DONE id=11 status=DEADLINE text="late"
DONE id=12 status=CANCELLED text=""
DONE id=13 status=DEVICE_ERROR text="device"
DONE id=14 status=INTERNAL text="internal"
BYE id=0 status=PROTOCOL text="wrong magic"
BYE id=0 status=VERSION text="version 2; this is 1"
BYE id=0 status=TOO_BIG text="too big"
BYE id=0 status=OK text="the daemon is stopping"
""")

STREAMS["daemon-bare"] = ([
    frame(STATUS_REPORT, 7, payload=[(b'{"backend":"cpu"}', "a JSON object")]),
    frame(PONG, 8),
], """\
STATUS_REPORT id=7
  payload 7b226261636b656e64223a22637075227d
PONG id=8
""")

STREAMS["daemon-newer"] = ([
    frame(WELCOME, 1, num(1, "version_minor", 0), num(2, "features", 0), text(4, "backend", "npu\n\x7f"),
          text(6, "unknown", "y"),
          sub(5, "limits", num(6, "jobs", 1), num(9, "unknown", 3), num(1, "control_bytes", 65536))),
    outcome(DONE, 2, 99, "a status of later days"),
    outcome(DONE, 3, (1 << 64) - 1, "a negative status"),
    frame(WEIGHTS_LOADED, 4, num(4, "unknown", 9), num(3, "shared", 0), num(2, "charged_bytes", 4096, pad_to=10),
          num(1, "weights", 0), num(1, "weights", 5)),
], """\
WELCOME id=1 version_minor=0 features=0x0 daemon_version="" backend="npu??"
  control_bytes=65536 payload_bytes=0 arena_bytes=0 arenas=0 uid_bytes=0 jobs=1
DONE id=2 status=UNKNOWN text="a status of later days"
DONE id=3 status=UNKNOWN text="a negative status"
WEIGHTS_LOADED id=4 weights=5 charged_bytes=4096 shared=0
""")


def files():
    """Name -> content of everything that this script writes."""
    out = {}
    for name, (frames, meaning) in STREAMS.items():
        head = "# Written by make.py; what it means is in the .txt beside it.\n"
        out[name + ".hex"] = head + "\n".join(dump(frames)) + "\n"
        out[name + ".txt"] = meaning
    return out


def check():
    wrong = []
    expected = files()
    for path in sorted(HERE.glob("*.hex")) + sorted(HERE.glob("*.txt")):
        if path.name not in expected and path.name != "CMakeLists.txt":
            wrong.append(f"{path}: not made by make.py; add it there or remove it")
    for name, content in expected.items():
        path = HERE / name
        if not path.exists() or path.read_text() != content:
            wrong.append(f"{path}: differs from what make.py writes; run {__file__} and look at the difference")
    readme = README.read_text()
    for name in ("example-client", "example-daemon"):
        for pieces in "\n".join(dump(STREAMS[name][0])).split("\n\n"):
            if pieces not in readme:
                wrong.append(f"{README}: the worked example lacks this frame of {name}:\n{pieces}")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(expected)} files, {len(wrong)} wrong")
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    if len(sys.argv) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    for name, content in files().items():
        (HERE / name).write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
