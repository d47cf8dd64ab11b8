#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A whole client of npumatmuld in one short file, with nothing but Python's standard library.

Role:  the proof that proto/README.md and proto/npumm.proto are enough to write one: it was written from these two
       and shares no code with the project. Multiplies two random int8 matrices inline, compares the product with
       a triple loop of its own, and prints "exact".
Usage: minimal_client.py SOCKET [M K N [SEED]]
Exit:  0 exact; 1 the daemon refused, broke the protocol or computed something else; 2 usage.
"""
import array
import random
import socket
import struct
import sys

HEADER = struct.Struct("<4sHHIIQQ")  # magic, major, type, flags, control_bytes, payload_bytes, request_id
HELLO, MATMUL = 1, 4
WELCOME, ROWS, DONE, BYE = 65, 68, 69, 73


class Failure(Exception):
    pass


# ---- protobuf, as far as these messages use it ----

def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(0x80 | (number & 0x7f))
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field, number):
    return varint(field * 8 + 0) + varint(number) if number else b""


def bytes_field(field, data):
    return varint(field * 8 + 2) + varint(len(data)) + data


def parse_varint(data, at):
    number, shift = 0, 0
    while True:
        number |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return number, at


def parse_message(data):
    """Field number -> number or bytes; of a field given twice the last counts."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = parse_varint(data, at)
        kind = tag % 8
        if kind == 0:
            fields[tag // 8], at = parse_varint(data, at)
        elif kind == 2:
            length, at = parse_varint(data, at)
            fields[tag // 8] = data[at:at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise Failure(f"wire type {kind} in a control part")
    return fields


# ---- frames ----

def send_frame(sock, kind, request_id, control, payload=b""):
    sock.sendall(HEADER.pack(b"NPMM", 1, kind, 0, len(control), len(payload), request_id) + control + payload)


def receive_exactly(sock, length):
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(min(length - len(data), 1 << 20))
        if not piece:
            raise Failure("the daemon is gone")
        data += piece
    return bytes(data)


def receive_frame(sock):
    """Type, request id, fields of the control part, payload."""
    magic, major, kind, flags, control_bytes, payload_bytes, request_id = HEADER.unpack(
        receive_exactly(sock, HEADER.size))
    if magic != b"NPMM":
        raise Failure("this is not npumatmuld")
    fields = parse_message(receive_exactly(sock, control_bytes))
    if kind == BYE:
        raise Failure(f"BYE, status {fields.get(1, 0)}: {fields.get(2, b'').decode()}")
    if major != 1 or flags != 0:
        raise Failure(f"major version {major}, flags {flags}")
    return kind, request_id, fields, receive_exactly(sock, payload_bytes)


# ---- the two requests ----

def hello(sock, request_id):
    send_frame(sock, HELLO, request_id, bytes_field(3, b"minimal_client.py"))
    kind, answered, fields, _ = receive_frame(sock)
    if (kind, answered) != (WELCOME, request_id):
        raise Failure(f"frame {kind} for request {answered} in answer to HELLO")
    limits = parse_message(fields[5])
    return fields.get(3, b"").decode(), fields.get(4, b"").decode(), limits[2]


def matmul(sock, request_id, a, b, m, k, n):
    """a and b as bytes; C as a list of M * N numbers."""
    control = (number_field(1, m) + number_field(2, k) + number_field(3, n)
               + bytes_field(4, b"")                            # A: arena 0, offset 0, rows adjacent
               + bytes_field(5, number_field(2, len(a)))        # B: arena 0, behind A
               + bytes_field(8, b""))                           # C: inline; output 0 is INT32
    send_frame(sock, MATMUL, request_id, control, a + b)
    c, seen = [None] * (m * n), 0
    while True:
        kind, answered, fields, payload = receive_frame(sock)
        if answered != request_id:
            raise Failure(f"frame {kind} for request {answered}, which was never made")
        if kind == DONE:
            if fields.get(1, 0) != 0:
                raise Failure(f"DONE, status {fields[1]}: {fields.get(2, b'').decode()}")
            if seen != m:
                raise Failure(f"DONE after {seen} of {m} rows")
            return c
        if kind != ROWS:
            raise Failure(f"frame {kind} in answer to MATMUL")
        first, rows = fields.get(1, 0), fields.get(2, 0)
        if first + rows > m or len(payload) != rows * n * 4:
            raise Failure(f"ROWS {first} + {rows} of {m} with {len(payload)} bytes")
        c[first * n:(first + rows) * n] = struct.unpack(f"<{rows * n}i", payload)
        seen += rows


def triple_loop(a, b, m, k, n):
    a, b = array.array("b", a), array.array("b", b)
    c = []
    for i in range(m):
        for j in range(n):
            total = 0
            for p in range(k):
                total += a[i * k + p] * b[p * n + j]
            c.append(total)
    return c


def main(arguments):
    if len(arguments) not in (1, 4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    path = arguments[0]
    m, k, n = (int(text) for text in arguments[1:4]) if len(arguments) > 1 else (33, 129, 65)
    seed = int(arguments[4]) if len(arguments) > 4 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    source = random.Random(seed)
    a, b = source.randbytes(m * k), source.randbytes(k * n)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(60)
            sock.connect(path)
            version, backend, payload_max = hello(sock, 1)
            if len(a) + len(b) > payload_max:
                raise Failure(f"operands over the daemon's limit of {payload_max} bytes")
            c = matmul(sock, 2, a, b, m, k, n)
    except (Failure, OSError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    wrong = sum(got != expected for got, expected in zip(c, triple_loop(a, b, m, k, n)))
    if wrong:
        print(f"{m}x{k} @ {k}x{n}: {wrong} of {m * n} elements are wrong (seed {seed})", file=sys.stderr)
        return 1
    print(f"{m}x{k} @ {k}x{n} by npumatmuld {version} on {backend}: exact")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
