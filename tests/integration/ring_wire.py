# SPDX-License-Identifier: MIT
"""The protocol by hand, by rings: a Wire whose frames travel in shared memory once it has asked for that.

Role:  the layout of proto/README.md, section 15, written from that text alone; shares no code with the product. It can
       also do to the shared words what a client must not do.
In:    a socket's path.
Owns:  both bells, besides what a Wire owns.
Never: waits without a deadline. It does not order its stores as a good client would: it rings the bell each time
       instead, and looks at its ring every few milliseconds.
"""
import contextlib
import os
import select
import time

import wire

HEADER_BYTES = 384
TAIL, HEAD, WANTS, CPU = range(4)  # of a side, in words
CLIENT, DAEMON, OPEN = 0, 32, 64   # where they begin, in words
DATA, ROOM = 1, 2                  # bits of WANTS
MASK = 0xffffffff


def start_control(arena, offset=0, submission=65536, completion=65536):
    return (wire.number(1, arena) + wire.number(2, offset) + wire.number(3, submission) +
            wire.number(4, completion))


class RingWire(wire.Wire):
    def __init__(self, path, **how):
        self.words = self.memory = None
        self.bells = []  # ours to write, ours to wait at
        super().__init__(path, **how)

    def close(self):
        super().close()
        while self.bells:
            os.close(self.bells.pop())

    def hello(self, **fields):
        return super().hello(**{"features": 1, **fields})

    def start(self, size=65536, *, offset=0):
        """An arena, and rings of `size` bytes in it. Returns the arena."""
        arena = self.arena_create(offset + HEADER_BYTES + 2 * size)
        self.change_over(self.send(wire.RING_START, start_control(arena.handle, offset, size, size)), arena, size,
                         offset)
        return arena

    def change_over(self, request_id, arena, size, offset=0):
        """Waits for RING_STARTED; from then on frames go by the rings."""
        self.expect(wire.RING_STARTED, request_id)
        assert len(self._fds) == 2, f"RING_STARTED brought {len(self._fds)} descriptors"
        self.bells = [self._fds.popleft(), self._fds.popleft()]
        memory = memoryview(arena.map)[offset:]
        self.words = memory[:HEADER_BYTES].cast("I")  # stores of whole words
        self.outgoing = memory[HEADER_BYTES:HEADER_BYTES + size]
        self.incoming = memory[HEADER_BYTES + size:HEADER_BYTES + 2 * size]
        self.size, self.tail, self.head = size, 0, 0

    def ring_bell(self):
        os.write(self.bells[0], (1).to_bytes(8, "little"))

    # -- sending --

    def room(self):
        return self.size - ((self.tail - self.words[DAEMON + HEAD]) & MASK)

    def put(self, raw):
        """As much as there is room for, and shows it; returns how much that is."""
        n = min(len(raw), self.room())
        at = self.tail % self.size
        first = min(n, self.size - at)
        self.outgoing[at:at + first] = raw[:first]
        self.outgoing[:n - first] = raw[first:n]
        self.tail = (self.tail + n) & MASK
        self.words[CLIENT + TAIL] = self.tail
        self.ring_bell()
        return n

    def send_raw(self, raw, fds=()):
        if self.words is None:
            super().send_raw(raw, fds)
            return
        raw, until = memoryview(raw).cast("B"), time.monotonic() + wire.ANSWER_SECONDS
        while True:
            raw = raw[self.put(raw):]
            if not raw:
                return
            if time.monotonic() > until:
                raise TimeoutError("the daemon makes no room in the ring")
            self._wait(ROOM, 0.005)

    # -- receiving --

    def waiting(self):
        return (self.words[DAEMON + TAIL] - self.head) & MASK

    def take(self, most=1 << 30):
        """What the ring has, `most` at most."""
        n = min(self.waiting(), most)
        assert n <= self.size or not self.words[OPEN], f"the daemon has written {n} bytes into a ring of {self.size}"
        n = min(n, self.size)
        at = self.head % self.size
        first = min(n, self.size - at)
        data = bytes(self.incoming[at:at + first]) + bytes(self.incoming[:n - first])
        if not self.words[OPEN]:
            raise wire.Closed("the daemon has let go of the rings")
        self.head = (self.head + n) & MASK
        self.words[CLIENT + HEAD] = self.head
        self.ring_bell()
        return data

    def _wait(self, wants, seconds):
        """Sleeps as a client does, until the bell rings or the socket has something."""
        self.words[CLIENT + WANTS] = wants
        if not (wants == DATA and self.waiting()):
            select.select([self.bells[1], self.sock], [], [], seconds)
        self.words[CLIENT + WANTS] = 0
        with contextlib.suppress(BlockingIOError):
            os.read(self.bells[1], 64)

    def readable(self, seconds):
        if self.words is None:
            return super().readable(seconds)
        until = time.monotonic() + seconds
        while not self.waiting() and not super().readable(0) and time.monotonic() < until:
            self._wait(DATA, 0.005)
        return bool(self.waiting()) or super().readable(0)

    def _fill(self, size, until):
        while self.words is not None and len(self._bytes) < size:
            ended = self._socket_look()  # before the ring: what was said before the end is in there by then
            self._bytes += self.take()
            if len(self._bytes) >= size:
                break
            if ended:
                raise wire.Closed(f"end of stream, with {len(self._bytes)} bytes of a frame read")
            if time.monotonic() > until:
                raise TimeoutError("nothing in the ring")
            self._wait(DATA, 0.005)
        if self.words is None:
            super()._fill(size, until)

    def _socket_look(self):
        """Descriptors, each with a byte; true: the end."""
        kept, self._bytes = self._bytes, bytearray()
        words, self.words = self.words, None
        try:
            while wire.Wire.readable(self, 0):
                self._fill(len(self._bytes) + 1, time.monotonic() + 1)
        except wire.Closed:
            return True
        finally:
            assert len(self._bytes) <= len(self._fds), "bytes by the socket that bring no descriptor"
            self._bytes, self.words = kept, words
        return False
