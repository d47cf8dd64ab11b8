# SPDX-License-Identifier: MIT
"""The protocol by hand: a client that can also say what a client must not say.

Role:  frames and control parts, written from proto/README.md and npumm.proto alone; shares no code with the
       product. One Wire is one connection.
In:    a socket's path.
Out:   frames, each with its descriptors where it brings any.
Owns:  the socket, descriptors that no frame has claimed, the arenas it made.
Never: waits without a deadline; hides a frame that nobody asked for.
"""
import array
import collections
import fcntl
import mmap
import os
import select
import socket
import struct
import time

(HELLO, ARENA_CREATE, ARENA_RELEASE, MATMUL, CANCEL, STATUS, PING, WEIGHTS_LOAD, WEIGHTS_RELEASE,
 SET, RING_START) = range(1, 12)
(WELCOME, ARENA_CREATED, ARENA_RELEASED, ROWS, DONE, STATUS_REPORT, PONG, ERROR, BYE, WEIGHTS_LOADED,
 WEIGHTS_RELEASED, SET_DONE, RING_STARTED) = range(65, 78)
TYPE_NAMES = {value: name for name, value in list(globals().items()) if isinstance(value, int)}

(OK, INVALID, NOT_FOUND, BUSY, DEADLINE, CANCELLED, DEVICE_ERROR, INTERNAL, PROTOCOL, VERSION,
 TOO_BIG, DENIED) = range(12)
STATUS_NAMES = ("OK", "INVALID", "NOT_FOUND", "BUSY", "DEADLINE", "CANCELLED", "DEVICE_ERROR", "INTERNAL",
                "PROTOCOL", "VERSION", "TOO_BIG", "DENIED")

INT32, INT8, FLOAT32, TILE16_SHIFT7 = range(4)
FLOOR, NEAREST_EVEN = range(2)
NORMAL, INTERACTIVE, BULK = range(3)

MAGIC = b"NPMM"
MAJOR, MINOR = 1, 2
HEADER = struct.Struct("<4sHHIIQQ")
CONTROL_BYTES_MAX = 65536

ANSWER_SECONDS = 30  # how long any answer may take on a busy machine; nothing waits this long when all is well


class Closed(Exception):
    """The daemon has closed the connection, without a frame that was waited for."""


# ---- protobuf ----

def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(0x80 | (number & 0x7f))
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field, value):
    """A varint field; nothing for 0, as writers do."""
    return varint(field << 3) + varint(value) if value else b""


def piece(field, raw):
    """A string or sub-message, also an empty one."""
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def fields_of(control):
    """{field number: last value}; numbers as int, the rest as bytes."""
    fields, at = {}, 0

    def take_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = control[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(control):
        tag = take_varint()
        kind = tag & 7
        if kind == 0:
            value = take_varint()
        elif kind == 2:
            size = take_varint()
            value = bytes(control[at:at + size])
            at += size
        else:
            size = {1: 8, 5: 4}[kind]
            value = bytes(control[at:at + size])
            at += size
        fields[tag >> 3] = value
    assert at == len(control), "a control part ends inside a field"
    return fields


# ---- frames ----

def frame(kind, request_id, control=b"", payload=b"", *, magic=MAGIC, major=MAJOR, flags=0, control_bytes=None,
          payload_bytes=None):
    """The bytes of a frame; whatever is named overrides what the header would truthfully say."""
    return HEADER.pack(magic, major, kind, flags, len(control) if control_bytes is None else control_bytes,
                       len(payload) if payload_bytes is None else payload_bytes,
                       request_id) + control + bytes(payload)


class Frame:
    def __init__(self, kind, request_id, control, payload, major):
        self.kind, self.request_id, self.control, self.payload = kind, request_id, control, payload
        self.major = major
        self.fields = fields_of(control)

    @property
    def status(self):
        return self.fields.get(1, 0)

    @property
    def text(self):
        return self.fields.get(2, b"").decode()

    @property
    def rows(self):
        """Of a ROWS: (first row, number of rows)."""
        return self.fields.get(1, 0), self.fields.get(2, 0)

    def __repr__(self):
        shown = f"{TYPE_NAMES.get(self.kind, self.kind)} #{self.request_id}"
        if self.kind in (DONE, ERROR, BYE):
            return f"{shown} {{{STATUS_NAMES[self.status]}, {self.text!r}}}"
        return f"{shown} {self.fields} + {len(self.payload)} bytes"


# ---- control parts ----

class Place(collections.namedtuple("Place", "arena offset ld", defaults=(0, 0, 0))):
    """Where an operand lies."""

    def encode(self):
        return number(1, self.arena) + number(2, self.offset) + number(3, self.ld)


def hello_control(name="test", minor=MINOR, features=0):
    raw = name if isinstance(name, bytes) else name.encode()
    return number(1, minor) + number(2, features) + (piece(3, raw) if raw else b"")


def matmul_control(m, k, n, a=Place(), b=Place(), c=Place(), *, weights=None, transposed=False, output=INT32,
                   shift=0, rounding=FLOOR, row_scale=None, col_scale=None, bias=None, job_class=NORMAL,
                   deadline_us=0, more=False):
    """None leaves an operand out altogether."""
    control = number(1, m) + number(2, k) + number(3, n)
    for field, place in ((4, a), (5, b if weights is None else None)):
        if place is not None:
            control += piece(field, place.encode())
    if weights is not None:
        control += varint(6 << 3) + varint(weights)  # present even when 0: it is a oneof
    control += number(7, int(transposed))
    if c is not None:
        control += piece(8, c.encode())
    control += number(9, output) + number(10, shift) + number(11, rounding)
    for field, place in ((12, row_scale), (13, col_scale), (14, bias)):
        if place is not None:
            control += piece(field, place.encode())
    return control + number(15, job_class) + number(16, deadline_us) + number(17, int(more))


def weights_control(k, n, b=Place(), *, transposed=False):
    return (number(1, k) + number(2, n) + (piece(3, b.encode()) if b is not None else b"") +
            number(4, int(transposed)))


def set_control(key, value):
    return b"".join(piece(field, raw if isinstance(raw, bytes) else raw.encode())
                    for field, raw in ((1, key), (2, value)) if raw)


# ---- weights and arenas ----

# What WEIGHTS_LOADED says.
Weights = collections.namedtuple("Weights", "handle charged_bytes shared")


class Arena:
    """An arena as its client sees it. The descriptor stays open, so that tests can look at its pages."""

    def __init__(self, handle, size, fd):
        self.handle, self.size, self.fd = handle, size, fd
        self.map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def place(self, offset=0, ld=0):
        return Place(self.handle, offset, ld)

    def pages_bytes(self):
        """What of it is really in memory."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


# ---- one connection ----

class Wire:
    def __init__(self, path, *, uid=None):
        """`uid`: connect as another user, which only root may do (the kernel notes the effective uid)."""
        self.inbox = collections.deque()  # frames read while another was waited for
        self.last_id = 0
        self.arenas = []
        self._bytes = bytearray()
        self._fds = collections.deque()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        try:
            if uid is not None:
                os.seteuid(uid)
            try:
                self.sock.connect(path)
            finally:
                if uid is not None:
                    os.seteuid(0)
        except OSError:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()
        while self._fds:
            os.close(self._fds.popleft())
        for arena in self.arenas:
            arena.close()
        self.arenas = []

    # -- sending --

    def next_id(self):
        self.last_id += 1
        return self.last_id

    def send_raw(self, raw, fds=()):
        """All of it, the descriptors with the first byte."""
        view = memoryview(raw)
        if fds:
            sent = self.sock.sendmsg([view], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
            view = view[sent:]
        if view:
            self.sock.sendall(view)

    def send(self, kind, control=b"", payload=b"", request_id=None, **header):
        """One frame; returns its request id."""
        if request_id is None:
            request_id = self.next_id()
        self.send_raw(frame(kind, request_id, control, payload, **header))
        return request_id

    # -- receiving --

    def readable(self, seconds):
        """Whether there is anything to read (the end included) before the time is over."""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def _fill(self, size, until):
        while len(self._bytes) < size:
            self.sock.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data, ancillary, flags, _ = self.sock.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 4),
                                                              socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError as error:
                raise Closed(f"reset, with {len(self._bytes)} bytes of a frame read") from error
            finally:
                self.sock.settimeout(ANSWER_SECONDS)
            assert not flags & socket.MSG_CTRUNC, "the daemon passed more descriptors than any frame needs"
            for level, kind, raw in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                self._fds.extend(array.array("i", raw))
            if not data:
                raise Closed(f"end of stream, with {len(self._bytes)} bytes of a frame read")
            self._bytes += data

    def receive(self, seconds=ANSWER_SECONDS):
        """The next frame from the socket. Raises Closed or TimeoutError."""
        until = time.monotonic() + seconds
        self._fill(HEADER.size, until)
        magic, major, kind, flags, control_bytes, payload_bytes, request_id = HEADER.unpack_from(self._bytes)
        assert (magic, flags) == (MAGIC, 0), (magic, flags)
        size = HEADER.size + control_bytes + payload_bytes
        self._fill(size, until)
        control = bytes(self._bytes[HEADER.size:HEADER.size + control_bytes])
        payload = bytes(self._bytes[HEADER.size + control_bytes:size])
        del self._bytes[:size]
        return Frame(kind, request_id, control, payload, major)

    def reply_to(self, request_id, seconds=ANSWER_SECONDS):
        """The next frame about this request; others wait in the inbox. A BYE instead is a failure."""
        for at, waiting in enumerate(self.inbox):
            if waiting.request_id == request_id:
                del self.inbox[at]
                return waiting
        until = time.monotonic() + seconds
        while True:
            got = self.receive(until - time.monotonic())
            if got.request_id == request_id:
                return got
            assert got.kind != BYE, f"the daemon said {got} while #{request_id} was waited for"
            self.inbox.append(got)

    def expect(self, kind, request_id):
        got = self.reply_to(request_id)
        assert got.kind == kind, f"{TYPE_NAMES[kind]} #{request_id} was expected, not {got}"
        return got

    def expect_bye(self, status, *words):
        """BYE with this status, every word in its text, and then the end. Earlier replies are passed over."""
        got = self.receive()
        while got.kind != BYE:
            got = self.receive()
        assert (got.status, got.request_id) == (status, 0), f"{STATUS_NAMES[status]} was expected, not {got}"
        for word in words:
            assert word in got.text, f"{word!r} is missing in {got}"
        self.expect_end()
        return got

    def expect_end(self):
        """Nothing more comes, and the connection is closed."""
        try:
            got = self.receive()
        except Closed:
            assert not self._bytes, f"the stream ends inside a frame: {bytes(self._bytes[:64])}"
            return
        raise AssertionError(f"the end was expected, not {got}")

    # -- requests --

    def hello(self, **fields):
        """Greets; returns the WELCOME's limits."""
        welcome = self.expect(WELCOME, self.send(HELLO, hello_control(**fields)))
        limits = fields_of(welcome.fields[5])
        return {name: limits.get(field, 0) for field, name in enumerate(
            ("control_bytes", "payload_bytes", "arena_bytes", "arenas", "uid_bytes", "jobs"), 1)}

    def ping(self):
        """Everything before it has been read by the daemon, and acted upon, when this returns."""
        self.expect(PONG, self.send(PING))

    def status(self):
        """The raw JSON object."""
        return self.expect(STATUS_REPORT, self.send(STATUS)).payload

    def arena_claim(self, request_id):
        """Takes the answer to an ARENA_CREATE, and the descriptor that came with it."""
        created = self.expect(ARENA_CREATED, request_id)
        assert self._fds, "ARENA_CREATED came without a descriptor"
        fd = self._fds.popleft()
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        arena = Arena(created.fields[1], created.fields[2], fd)
        self.arenas.append(arena)
        return arena

    def arena_create(self, size):
        return self.arena_claim(self.send(ARENA_CREATE, number(1, size)))

    def arena_release(self, handle):
        """Sends it; the answer is the caller's to wait for."""
        return self.send(ARENA_RELEASE, number(1, handle))

    def weights_send(self, *shape_and_place, payload=b"", **fields):
        """Sends a WEIGHTS_LOAD; the answer is the caller's to wait for."""
        return self.send(WEIGHTS_LOAD, weights_control(*shape_and_place, **fields), payload)

    def weights_claim(self, request_id):
        """Takes the answer to a WEIGHTS_LOAD."""
        loaded = self.expect(WEIGHTS_LOADED, request_id)
        assert loaded.fields.get(1, 0) != 0, f"{loaded} has no handle"
        return Weights(loaded.fields[1], loaded.fields.get(2, 0), bool(loaded.fields.get(3, 0)))

    def weights_load(self, *shape_and_place, payload=b"", **fields):
        return self.weights_claim(self.weights_send(*shape_and_place, payload=payload, **fields))

    def weights_release(self, handle):
        """Sends it; the answer is the caller's to wait for."""
        return self.send(WEIGHTS_RELEASE, number(1, handle))

    def set(self, key, value):
        """Sends it; the answer is the caller's to wait for."""
        return self.send(SET, set_control(key, value))

    def matmul(self, *shape_and_places, payload=b"", request_id=None, **fields):
        return self.send(MATMUL, matmul_control(*shape_and_places, **fields), payload, request_id)

    def cancel(self, request_id):
        self.send(CANCEL, request_id=request_id)

    def done(self, request_id):
        """All that comes of a MATMUL: (its DONE, its ROWS in the order of coming)."""
        rows = []
        while True:
            got = self.reply_to(request_id)
            if got.kind == DONE:
                return got, rows
            assert got.kind == ROWS, f"ROWS or DONE was expected, not {got}"
            rows.append(got)

    def expect_done(self, request_id, status, *words):
        """DONE with this status, every word in its text; returns the ROWS."""
        done, rows = self.done(request_id)
        assert done.status == status, f"{STATUS_NAMES[status]} was expected, not {done}"
        for word in words:
            assert word in done.text, f"{word!r} is missing in {done}"
        return rows

    def expect_error(self, request_id, status, *words):
        got = self.expect(ERROR, request_id)
        assert got.status == status, f"{STATUS_NAMES[status]} was expected, not {got}"
        for word in words:
            assert word in got.text, f"{word!r} is missing in {got}"

    def expect_quiet(self):
        """The daemon has nothing more to say: a PING is answered and nothing else has come."""
        self.ping()
        assert not self.inbox, f"nobody asked for {list(self.inbox)}"
