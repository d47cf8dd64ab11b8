#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a client must not say, one test for each: the offender gets its status or loses its connection, and nobody
else loses anything.

Every test is a scene (scenes.py): a bystander with a job in flight while the offence happens and another after it,
both compared exactly; a client that has said HELLO and idles; and at the end a daemon that lives, holds exactly the
connections, arenas, bytes, pages and descriptors that it held before, and stops with 0 and no sanitizer's report.
Offences against time and quantity are in test_limits.py.
"""
import contextlib
import os
import random
import select
import socket
import unittest

import numpy

import harness
import scenes
import wire
from scenes import PAGE, Table, scene, table
from wire import Place

DIM_MAX, K_MAX, UINT64_MAX = 2**31 - 1, 131071, 2**64 - 1


class BadNumbers(unittest.TestCase):
    """Requests that make no sense: DONE with INVALID, and the connection goes on."""

    def test_k_of_zero(self):
        with table() as asks:
            asks.refused("K is 0", "131071", k=0)

    def test_k_above_the_exact_range(self):
        with table() as asks:
            asks.refused("K is 131072", k=K_MAX + 1)
            asks.refused("K is", k=2**32)
            asks.refused("K is", k=2**32 + 8)  # 8 in 32 bits
            asks.refused("K is", k=UINT64_MAX)

    def test_m_or_n_of_zero(self):
        with table() as asks:
            asks.refused("M is 0", m=0)
            asks.refused("N is 0", n=0)

    def test_m_or_n_above_their_range(self):
        with table() as asks:
            for number in (DIM_MAX + 1, 2**32 + 4, UINT64_MAX):
                asks.refused(f"M is {number}", m=number)
                asks.refused(f"N is {number}", n=number)

    def test_terms_out_of_range(self):
        with table() as asks:
            asks.refused("class 3", job_class=3)
            asks.refused("deadline_us is 3600000001", deadline_us=3600000001)
            asks.refused("b_transposed", weights=1, transposed=True)

    def test_shape_that_overflows(self):
        with table() as asks:
            asks.refused("C", m=DIM_MAX, n=DIM_MAX, c=asks.arena.place(0, 2**33))
            asks.refused("C", m=DIM_MAX, n=DIM_MAX)  # fits in 64 bits, but hardly, and in no arena
            asks.refused("C", m=DIM_MAX, k=K_MAX, output=wire.INT8)

    def test_inline_result_larger_than_any_limit(self):
        with table() as asks:  # its size fits in 64 bits, but hardly
            for form in (wire.INT32, wire.INT8):
                asks.refused("bytes-per-uid", m=DIM_MAX, n=DIM_MAX, output=form, c=Place(), status=wire.BUSY)

    def test_leading_dimension_that_overflows(self):
        with table() as asks:
            for ld in (2**62, 2**63, UINT64_MAX, UINT64_MAX // 3, UINT64_MAX // 3 - 1):
                for name in "abc":
                    with self.subTest(ld=ld, operand=name):
                        asks.refused(name.upper(), **{name: asks.arena.place(0, ld)})

    def test_offset_that_overflows(self):
        with table() as asks:
            for offset in (UINT64_MAX & ~3, UINT64_MAX - 63 & ~3, 2**63, 2**63 - 4):
                for name in "abc":
                    with self.subTest(offset=offset, operand=name):
                        asks.refused(name.upper(), **{name: asks.arena.place(offset)})

    def test_leading_dimension_too_small(self):
        with table() as asks:
            asks.refused("A: leading dimension 7", "8 columns", a=asks.arena.place(0, 7))
            asks.refused("B: leading dimension 3", "4 columns", b=asks.arena.place(64, 3))
            asks.refused("B: leading dimension 7", "8 columns", b=asks.arena.place(64, 7), transposed=True)
            asks.refused("C: leading dimension 3", "4 columns", c=asks.arena.place(128, 3))
            asks.refused("C: leading dimension 1", c=asks.arena.place(128, 1))

    def test_operand_outside_its_arena(self):
        with table() as asks:
            asks.works(c=None)
            for name, size in (("a", 32), ("b", 32), ("c", 64)):
                for offset in (PAGE - size + 4, PAGE, PAGE + 4, 2 * PAGE, 2**40):
                    asks.refused(f"{name.upper()}: bytes {offset}..{offset + size}", "outside",
                                 **{name: asks.arena.place(offset)})
            asks.refused("A:", "outside", a=asks.arena.place(PAGE - 32 + 1))  # by a single byte
            asks.refused("C:", "outside", c=asks.arena.place(PAGE - 64, 5))   # by its leading dimension

    def test_operand_at_the_very_end_of_its_arena(self):
        with table() as asks:
            asks.c = asks.arena.place(PAGE - 64)
            asks.works()

    def test_inline_operand_outside_its_payload(self):
        with table() as asks:
            payload = bytes(64)
            for wrong in ({"a": Place(0, 33)}, {"b": Place(0, 32, 5)}, {"b": Place(0, 64)}, {"b": Place(0, 2**50)}):
                asks.refused("outside the payload of 64 bytes",
                             **{"a": Place(), "b": Place(0, 32), "payload": payload, **wrong})
            asks.refused("outside the payload of 0 bytes", a=Place())  # no payload at all

    def test_payload_that_no_operand_lies_in(self):
        with table() as asks:
            asks.refused("payload", payload=bytes(1000))

    def test_inline_result_with_an_offset_or_gaps(self):
        with table() as asks:
            asks.refused("C:", c=Place(0, 4))
            asks.refused("C:", c=Place(0, 0, 5))

    def test_output_overlaps_an_input(self):
        with table() as asks:
            place = asks.arena.place
            asks.refused("overlaps A", c=place(0))
            asks.refused("overlaps A", c=place(28))          # by its first bytes
            asks.refused("overlaps A", a=place(128 + 63))    # by its last one
            asks.refused("overlaps B", c=place(64))
            asks.refused("overlaps B", c=place(512), b=place(512 - 31))  # by one byte
            asks.refused("overlaps A", a=place(512, 64), c=place(512 + 8))  # in the gap of a row
            for name in ("row_scale", "col_scale", "bias"):
                asks.refused(f"overlaps {name}", output=wire.FLOAT32, **{name: place(128 + 48)})

    def test_output_touches_an_input(self):
        with table() as asks:  # which is allowed
            asks.c = asks.arena.place(32)  # A ends at 32, B begins where C ends
            asks.b = asks.arena.place(32 + 64)
            asks.client.expect_done(asks.ask(), wire.OK)
            asks.b, asks.c = asks.arena.place(64), asks.arena.place(128)

    def test_unknown_output_form(self):
        with table() as asks:
            for form in (4, 5, 255, 2**31 - 1):
                asks.refused(f"output form {form}", output=form)
            asks.refused("output form", output=UINT64_MAX)  # -1

    def test_unknown_rounding(self):
        with table() as asks:
            asks.refused("rounding 2", output=wire.INT8, rounding=2)
            asks.refused("rounding", output=wire.INT8, rounding=UINT64_MAX)

    def test_shift_out_of_range(self):
        with table() as asks:
            for shift in (32, 33, 64, 2**32 - 1):
                asks.refused(f"shift is {shift}", "0..31", output=wire.INT8, shift=shift)

    def test_shift_or_rounding_of_another_form(self):
        with table() as asks:
            for form in (wire.INT32, wire.FLOAT32, wire.TILE16_SHIFT7):
                asks.refused("int8", output=form, shift=1)
                asks.refused("int8", output=form, rounding=wire.NEAREST_EVEN)

    def test_vectors_of_another_form(self):
        with table() as asks:
            for form in (wire.INT32, wire.INT8, wire.TILE16_SHIFT7):
                for name in ("row_scale", "col_scale", "bias"):
                    asks.refused("float32", output=form, **{name: asks.arena.place(1024)})

    def test_bad_vectors(self):
        with table() as asks:
            for name in ("row_scale", "col_scale", "bias"):
                asks.refused(name, "leading dimension", output=wire.FLOAT32, **{name: asks.arena.place(1024, 4)})
                asks.refused(name, "multiple", output=wire.FLOAT32, **{name: asks.arena.place(1025)})
                asks.refused(name, "outside", output=wire.FLOAT32, **{name: asks.arena.place(PAGE - 12)})

    def test_misaligned_output(self):
        with table() as asks:
            for offset in (129, 130, 131):
                asks.refused("C: offset", "multiple", c=asks.arena.place(offset))

    def test_operand_missing(self):
        with table() as asks:
            client, shape = asks.client, Table.SHAPE
            for wrong, name in (((None, asks.b, asks.c), "A"), ((asks.a, None, asks.c), "B"),
                                ((asks.a, asks.b, None), "C")):
                client.expect_done(client.matmul(*shape, *wrong), wire.INVALID, name, "missing")
            client.expect_done(client.send(wire.MATMUL), wire.INVALID)  # nothing at all

    def test_arena_of_no_bytes(self):
        with table() as asks:
            asks.client.expect_error(asks.client.send(wire.ARENA_CREATE), wire.INVALID, "size_bytes is 0")

    def test_refused_job_with_a_payload(self):
        with table() as asks:  # the payload is read and discarded, whatever its size
            for size in (1, 100, 70000, 3 << 20):
                asks.refused("K is 0", k=0, a=Place(), b=Place(), payload=bytes(size))


class Handles(unittest.TestCase):
    """Numbers that name nothing of this connection: NOT_FOUND, and the connection goes on."""

    def test_arena_that_never_was(self):
        with table() as asks:
            for handle in (2, 99, 2**31, 2**32 - 1):
                for name in "abc":
                    asks.refused(f"{name.upper()}: arena {handle}", status=wire.NOT_FOUND,
                                 **{name: Place(handle, 512)})
                asks.client.expect_error(asks.client.arena_release(handle), wire.NOT_FOUND, f"arena {handle}")
            asks.client.expect_error(asks.client.arena_release(0), wire.NOT_FOUND, "arena 0")

    def test_vector_in_an_arena_that_never_was(self):
        with table() as asks:
            for name in ("row_scale", "col_scale", "bias"):
                asks.refused(f"{name}: arena 9", status=wire.NOT_FOUND, output=wire.FLOAT32, **{name: Place(9)})

    def test_stale_arena(self):
        with table() as asks:
            client = asks.client
            gone = client.arena_create(PAGE)
            released = client.arena_release(gone.handle)
            asks.refused(f"arena {gone.handle}", status=wire.NOT_FOUND, a=gone.place())  # at once
            client.expect(wire.ARENA_RELEASED, released)
            asks.refused(f"arena {gone.handle}", status=wire.NOT_FOUND, c=gone.place())
            client.expect_error(client.arena_release(gone.handle), wire.NOT_FOUND, f"arena {gone.handle}")
            again = client.arena_create(PAGE)
            self.assertGreater(again.handle, gone.handle, "a number is never used twice")
            asks.refused(f"arena {gone.handle}", status=wire.NOT_FOUND, b=gone.place())

    def test_arena_released_twice_in_one_breath(self):
        with table() as asks:
            client = asks.client
            arena = client.arena_create(PAGE)
            first, second = client.next_id(), client.next_id()
            client.send_raw(b"".join(wire.frame(wire.ARENA_RELEASE, request_id, wire.number(1, arena.handle))
                                     for request_id in (first, second)))
            client.expect_error(second, wire.NOT_FOUND)
            client.expect(wire.ARENA_RELEASED, first)

    def test_another_connections_arena(self):
        with scene() as it:
            client = it.offender()
            theirs = it.job.arena.handle  # numbers are a connection's own; this client has no arena at all
            before = bytes(it.job.arena.map[0:4096])
            for wrong in (0, 1, 2):
                places = [Place(), Place(offset=32), Place()]
                places[wrong] = Place(theirs)
                rows = client.expect_done(client.matmul(4, 8, 4, *places, payload=bytes(64)), wire.NOT_FOUND)
                self.assertFalse(rows)
            client.expect_error(client.arena_release(theirs), wire.NOT_FOUND)
            self.assertEqual(bytes(it.job.arena.map[0:4096]), before)
            scenes.expect_inline_works(client)

    def test_weights_handle(self):
        with table() as asks:
            for handle in (1, UINT64_MAX):
                asks.refused(f"weights {handle}", status=wire.NOT_FOUND, weights=handle)
            asks.refused("weights is 0", weights=0)

    def test_cancel_of_what_is_not_there(self):
        with table() as asks:  # is ignored
            client = asks.client
            ended = asks.ask()
            client.expect_done(ended, wire.OK)
            for request_id in (ended, 0, 1, UINT64_MAX):
                client.cancel(request_id)
            client.expect_quiet()


class Sequence(unittest.TestCase):
    """What may come when: BYE with PROTOCOL."""

    def bye(self, *words, raw, status=wire.PROTOCOL, greeted=True):
        """In a scene of its own a client sends `raw` (a function of the last id makes it) and is sent away."""
        with scene() as it:
            client = it.offender() if greeted else it.stranger()
            client.send_raw(raw(client.last_id) if callable(raw) else raw)
            client.expect_bye(status, *words)

    def test_duplicate_request_id(self):
        self.bye("request id 1 of PING is not above the last one, 1", raw=lambda last: wire.frame(wire.PING, last))

    def test_decreasing_request_id(self):
        self.bye("request id 6 of PING", raw=lambda last: wire.frame(wire.PING, 7) + wire.frame(wire.PING, 6))

    def test_request_id_of_zero(self):
        self.bye("request id 0", raw=wire.frame(wire.PING, 0))
        self.bye("request id 0", raw=wire.frame(wire.HELLO, 0), greeted=False)

    def test_duplicate_id_of_a_running_job(self):
        with scene() as it:
            client = it.offender()
            job = scenes.ArenaJob(client, harness.scaled(256), 512, 512)
            job.submit()
            client.send(wire.MATMUL, wire.matmul_control(*job.shape, *job.places), request_id=job.request_id)
            client.expect_bye(wire.PROTOCOL, "request id")

    def test_request_ids_use_all_64_bits(self):
        with scene() as it:
            client = it.offender()
            client.expect(wire.PONG, client.send(wire.PING, request_id=UINT64_MAX))
            client.send(wire.PING, request_id=1)
            client.expect_bye(wire.PROTOCOL, str(UINT64_MAX))

    def test_hello_twice(self):
        self.bye("HELLO came twice", raw=wire.frame(wire.HELLO, 2))
        self.bye("HELLO came twice", raw=wire.frame(wire.HELLO, 1) + wire.frame(wire.HELLO, 2), greeted=False)

    def test_request_before_hello(self):
        controls = {wire.ARENA_CREATE: wire.number(1, PAGE), wire.ARENA_RELEASE: wire.number(1, 1),
                    wire.MATMUL: wire.matmul_control(1, 1, 1)}
        with scene() as it:
            for kind in (wire.ARENA_CREATE, wire.ARENA_RELEASE, wire.MATMUL, wire.CANCEL, wire.STATUS, wire.PING):
                client = it.stranger()
                client.send(kind, controls.get(kind, b""))
                client.expect_bye(wire.PROTOCOL, wire.TYPE_NAMES[kind], "before HELLO")

    def test_client_name_too_long(self):
        with scene() as it:
            it.offender().expect_quiet()
            longest = it.stranger()
            longest.hello(name="n" * 64)
            client = it.stranger()
            client.send(wire.HELLO, wire.hello_control("n" * 65))
            client.expect_bye(wire.INVALID, "client_name", "65")

    def test_client_name_that_forges_the_log(self):
        with scene() as it:  # that each line of the log is one of the daemon's is checked when it has ended
            client = it.stranger()
            client.hello(name=b"x\nnpumatmuld\x1b[2J\r\xff\xc3\x28%s%n")
            client.expect_quiet()
            harness.eventually(lambda: "has connected" in it.daemon.stderr())
            self.assertNotIn("\x1b", it.daemon.stderr())
            self.assertIn("x?npumatmuld?[2J???(%s%n", it.daemon.stderr())


class BadFrames(unittest.TestCase):
    """Bytes that are no frames of this protocol: BYE."""

    bye = Sequence.bye

    def test_wrong_magic(self):
        for greeted in (False, True):
            self.bye("NPMM", raw=wire.frame(wire.PING, 9, magic=b"NPMN"), greeted=greeted)

    def test_another_protocol(self):
        self.bye("NPMM", raw=b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n", greeted=False)

    def test_wrong_version(self):
        for major in (0, 2, 65535):
            with scene() as it:
                client = it.stranger()
                client.send(wire.HELLO, wire.hello_control(), major=major)
                bye = client.expect_bye(wire.VERSION, f"version {major}", "version 1")
                self.assertEqual(bye.major, 1)

    def test_wrong_version_is_named_whatever_else_is_wrong(self):
        """A future version may mean anything by the rest of its header."""
        with scene() as it:
            client = it.stranger()
            client.send_raw(wire.frame(0x7777, 2**63, major=3, flags=0xffffffff, control_bytes=2**32 - 1,
                                       payload_bytes=UINT64_MAX))
            client.expect_bye(wire.VERSION, "version 3", "version 1")

    def test_version_that_changes_later(self):
        self.bye("version 2", raw=wire.frame(wire.PING, 9, major=2), status=wire.VERSION)

    def test_flags(self):
        for flags in (1, 2**31):
            self.bye("flags", raw=wire.frame(wire.PING, 9, flags=flags))

    def test_unknown_type(self):
        for kind in (0, wire.RING_START + 1, 64, wire.RING_STARTED + 1, 255, 65535):
            self.bye(f"type {kind}", raw=wire.frame(kind, 9))

    def test_type_of_the_other_side(self):
        with scene() as it:
            for kind in range(wire.WELCOME, wire.RING_STARTED + 1):
                client = it.offender()
                client.send(kind)
                client.expect_bye(wire.PROTOCOL, wire.TYPE_NAMES[kind])

    def test_oversized_control(self):
        for size in (wire.CONTROL_BYTES_MAX + 1, 2**31, 2**32 - 1):
            self.bye("control", str(size), raw=wire.frame(wire.MATMUL, 9, control_bytes=size), status=wire.TOO_BIG)

    def test_largest_control(self):
        """Is not too big; that it is 64 KiB of what nobody knows is another matter."""
        self.bye("not a valid message", raw=wire.frame(wire.MATMUL, 9, b"\xf8\x07\x01" * 21845 + b"\xf8"))

    def test_oversized_payload(self):
        with scene(inline_bytes="1M") as it:
            client = it.offender()
            asks = Table(client)
            asks.refused("K is 0", k=0, a=Place(), b=Place(), payload=bytes(1 << 20))  # exactly the limit
            for size in ((1 << 20) + 1, 2**40, UINT64_MAX):
                client = it.offender()
                client.send(wire.MATMUL, wire.matmul_control(4, 8, 4), payload_bytes=size)
                client.expect_bye(wire.TOO_BIG, "MATMUL", str(size), str(1 << 20))

    def test_payload_on_types_without_one(self):
        controls = {wire.ARENA_CREATE: wire.number(1, PAGE), wire.ARENA_RELEASE: wire.number(1, 1),
                    wire.WEIGHTS_RELEASE: wire.number(1, 1)}
        with scene() as it:
            for kind in (*controls, wire.CANCEL, wire.STATUS, wire.PING, wire.SET):
                client = it.offender()
                client.send(kind, controls.get(kind, b""), b"x")
                client.expect_bye(wire.PROTOCOL, wire.TYPE_NAMES[kind], "payload")
            client = it.stranger()
            client.send(wire.HELLO, wire.hello_control(), bytes(100000))
            client.expect_bye(wire.PROTOCOL, "HELLO", "payload")

    def test_control_on_types_without_one(self):
        with scene() as it:
            for kind in (wire.CANCEL, wire.STATUS, wire.PING):
                client = it.offender()
                client.send(kind, wire.number(1, 1))
                client.expect_bye(wire.PROTOCOL, wire.TYPE_NAMES[kind], "control part")

    def test_control_that_is_no_message(self):
        with scene() as it:
            for control in (b"\xff", b"\x08", b"\x22\x05\x08", b"\x22\x02\x08\xff", b"\x0b\x0c",
                            b"\x08" + b"\xff" * 10, b"\x22" + b"\xff" * 9 + b"\x01", b"\x00\x00"):
                client = it.offender()
                client.send(wire.MATMUL, control)
                client.expect_bye(wire.PROTOCOL, "MATMUL", "not a valid message")

    def test_amplification(self):
        """Two bytes on the wire that want 64 and more in memory, 32,768 times."""
        with scene() as it:
            before = it.daemon.memory_kib("VmRSS")
            for repeated in (b"\x92\x02\x00", b"\x22\x00", b"\xc8\x07\x01", b"\xca\x07\x00"):
                for _ in range(5):
                    client = it.offender()
                    client.send(wire.MATMUL, repeated * (wire.CONTROL_BYTES_MAX // len(repeated)))
                    if repeated == b"\x22\x00":  # sub-messages given twice are merged: no memory, no fault
                        got = client.receive()
                        self.assertTrue(got.kind == wire.BYE or got.status == wire.INVALID, got)
                        client.close()
                    else:
                        client.expect_bye(wire.PROTOCOL, "not a valid message")
            grown = it.daemon.memory_kib("VmRSS") - before
            self.assertLess(grown, 40000 if harness.SLOW else 2000, "KiB")

    def test_garbage(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}", flush=True)
        rng = random.Random(seed)
        with scene() as it:
            for turn in range(60):
                client = it.offender() if turn % 2 else it.stranger()
                junk = rng.randbytes(rng.randrange(wire.HEADER.size, 5000))
                client.send_raw(junk)
                bye = client.expect_bye(wire.PROTOCOL)
                self.assertIn("NPMM", bye.text)

    def test_garbage_in_every_field(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}", flush=True)
        rng = random.Random(seed)
        job = wire.frame(wire.MATMUL, 2, wire.matmul_control(4, 8, 4, Place(), Place(offset=32), Place()), bytes(64))
        ends = {wire.BYE: 0, wire.DONE: 0}
        with scene(hello_timeout_ms=60000, frame_timeout_ms=60000) as it:
            for _ in range(300):
                raw = bytearray(job)
                for _ in range(rng.choice((1, 1, 2, 5))):
                    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
                client = it.offender()
                client.send_raw(raw)
                client.sock.shutdown(socket.SHUT_WR)  # it may have become a frame that never ends
                with contextlib.suppress(wire.Closed):
                    got = client.receive()
                    while got.kind == wire.ROWS:
                        got = client.receive()
                    ends[got.kind] = ends.get(got.kind, 0) + 1
                client.close()
        self.assertTrue(ends[wire.BYE], ends)

    def test_truncated_frames(self):
        """Cut at every byte of a HELLO and a job, and closed there."""
        hello = wire.frame(wire.HELLO, 1, wire.hello_control())
        job = wire.frame(wire.MATMUL, 2, wire.matmul_control(4, 8, 4, Place(), Place(offset=32), Place()), bytes(64))
        with scene() as it:
            for size in range(len(hello)):
                client = it.stranger()
                client.send_raw(hello[:size])
                client.close()
            for size in range(len(job)):
                client = it.stranger()
                client.send_raw(hello + job[:size])
                client.close()

    def test_frames_in_single_bytes(self):
        """Which is odd and allowed."""
        with scene() as it:
            client = it.stranger()
            rng = numpy.random.default_rng(3)
            a, b = scenes.random_matrix(rng, 4, 8), scenes.random_matrix(rng, 8, 4)
            for byte in wire.frame(wire.HELLO, client.next_id(), wire.hello_control("slow")):
                client.send_raw(bytes([byte]))
            client.expect(wire.WELCOME, 1)
            request_id = client.next_id()
            for byte in wire.frame(wire.MATMUL, request_id, wire.matmul_control(
                    4, 8, 4, Place(), Place(offset=32), Place()), a.tobytes() + b.tobytes()):
                client.send_raw(bytes([byte]))
            self.assertTrue(numpy.array_equal(scenes.inline_result(client, request_id, 4, 4), scenes.product(a, b)))

    def test_many_frames_in_one_piece(self):
        with scene() as it:
            client = it.stranger()
            raw = wire.frame(wire.HELLO, 1, wire.hello_control())
            raw += b"".join(wire.frame(wire.PING, request_id) for request_id in range(2, 500))
            client.send_raw(raw)
            client.last_id = 499
            client.expect(wire.WELCOME, 1)
            for request_id in range(2, 500):
                client.expect(wire.PONG, request_id)
            scenes.expect_inline_works(client)


class Descriptors(unittest.TestCase):
    """Clients pass none. Since Linux 6.16 the kernel refuses them at the sender, for the daemon has asked it to, and the
    connection goes on; before, BYE with PROTOCOL, and each is closed in the daemon (test-connection.c has that on any
    kernel)."""

    def offend(self, count, raw=None, greeted=True, before=b""):
        """The passed descriptors are a pipe's write end: its reader sees the end once nobody holds it any more."""
        with scene() as it:
            client = it.offender() if greeted else it.stranger()
            client.send_raw(before)
            reader, writer = os.pipe()
            try:
                try:
                    client.send_raw(raw or wire.frame(wire.PING, client.next_id()), [writer] * count)
                except PermissionError:
                    if greeted and not before:
                        client.ping()
                    return
                os.close(writer)
                writer = -1
                client.expect_bye(wire.PROTOCOL, "file descriptors")
                self.assertTrue(select.select([reader], [], [], harness.PATIENCE)[0], "the daemon holds them")
                self.assertEqual(os.read(reader, 1), b"")
            finally:
                os.close(reader)
                if writer >= 0:
                    os.close(writer)

    def test_one_descriptor(self):
        self.offend(1)

    def test_several_descriptors(self):
        for count in (2, 4, 5, 16, 253):
            self.offend(count)

    def test_descriptor_before_hello(self):
        self.offend(1, raw=wire.frame(wire.HELLO, 1, wire.hello_control()), greeted=False)

    def test_descriptor_with_part_of_a_header(self):
        self.offend(1, raw=b"NP")

    def test_descriptor_in_a_payload(self):
        head = wire.frame(wire.MATMUL, 5, wire.matmul_control(4, 8, 4, Place(), Place(offset=32), Place()),
                          payload_bytes=64)
        self.offend(3, raw=bytes(10), before=head)

    def test_descriptor_in_a_discarded_payload(self):
        head = wire.frame(wire.MATMUL, 5, wire.matmul_control(4, 0, 4), payload_bytes=64)
        self.offend(3, raw=bytes(10), before=head)

    def test_socket_passes_itself(self):
        """The daemon would hold its own client open, if it kept it."""
        with scene() as it:
            client = it.offender()
            try:
                client.send_raw(wire.frame(wire.PING, client.next_id()), [client.sock.fileno()])
            except PermissionError:
                client.ping()
            else:
                client.expect_bye(wire.PROTOCOL, "file descriptors")

    def test_descriptors_that_are_never_read(self):
        """The connection has ended before the daemon comes to them."""
        with scene() as it:
            client = it.offender()
            reader, writer = os.pipe()
            client.send(wire.PING, request_id=client.last_id)
            with contextlib.suppress(OSError):
                client.send_raw(b"x", [writer])
            os.close(writer)
            client.expect_bye(wire.PROTOCOL)
            self.assertTrue(select.select([reader], [], [], harness.PATIENCE)[0])
            self.assertEqual(os.read(reader, 1), b"")
            os.close(reader)


if __name__ == "__main__":
    harness.main()
