#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rings in place of the socket: the same frames, and whatever a client may do to memory that the daemon reads.

Every test is a scene (scenes.py), so honest clients are judged at its end: one by the socket, which must not notice.
"""
import contextlib
import os
import random
import signal
import threading
import time
import unittest

import numpy

import harness
import ring_wire
import scenes
import wire
from ring_wire import CLIENT, CPU, HEAD, TAIL, WANTS, RingWire, start_control
from scenes import scene

SEED = int(os.environ.get("NPUMM_TEST_SEED", "0"), 0) or random.randrange(1 << 32)
SHORT_MS = 2000 if harness.SLOW else 400


def ring_client(it, size=65536, **how):
    """A client whose frames travel in rings, closed at the end of the scene if not before."""
    client = RingWire(it.daemon.path)
    it.offenders.append(client)
    client.hello()
    client.start(size, **how)
    return client


def expect_gone(client):
    """It is closed, and a BYE may have been lost with the rings."""
    with contextlib.suppress(wire.Closed):
        while client.receive().kind != wire.BYE:
            pass


class Frames(unittest.TestCase):
    """What the socket can do the rings can."""

    def test_everything_by_rings(self):
        with scene(weights_kept_bytes=0) as it:
            client = ring_client(it)
            client.ping()
            self.assertIn(b'"backend"', client.status())
            job = scenes.ArenaJob(client, 37, 130, 65)
            job.submit()
            job.expect_exact()
            job.load_b()
            job.submit()
            job.expect_exact()
            client.expect(wire.WEIGHTS_RELEASED, client.weights_release(job.weights))
            scenes.expect_inline_works(client)
            client.expect(wire.ARENA_RELEASED, client.arena_release(job.arena.handle))
            client.expect_quiet()

    def test_frames_larger_than_the_rings(self):
        with scene(weights_kept_bytes=0) as it:
            client = ring_client(it, 4096)
            rng = numpy.random.default_rng(3)
            a, b = scenes.random_matrix(rng, 70, 600), scenes.random_matrix(rng, 600, 300)
            for _ in range(3):
                c = scenes.inline_result(client, scenes.inline_submit(client, a, b), 70, 300)
                self.assertTrue(numpy.array_equal(c, scenes.product(a, b)))
            client.weights_load(600, 300, payload=b.tobytes())

    def test_byte_by_byte(self):
        with scene() as it:
            client = ring_client(it, 4096)
            raw = wire.frame(wire.PING, client.next_id())
            for at in range(len(raw)):
                client.send_raw(raw[at:at + 1])
            client.expect(wire.PONG, client.last_id)

    def test_many_laps(self):
        """Frames of all lengths, so that they begin and end everywhere in the ring."""
        with scene(weights_kept_bytes=0) as it:
            client = ring_client(it, 4096)
            for lap in range(harness.scaled(400)):
                request_id = client.send(wire.WEIGHTS_LOAD, wire.weights_control(1, 1 + lap % 97),
                                         bytes(1 + lap % 97))
                client.expect(wire.WEIGHTS_RELEASED, client.weights_release(client.weights_claim(request_id).handle))

    def test_requests_right_behind_the_start(self):
        """They are in the ring when the daemon first looks, or not; it makes no difference."""
        with scene() as it:
            for _ in range(20):
                client = ring_client(it, 4096)
                ids = [client.send(wire.PING) for _ in range(10)]
                for request_id in ids:
                    client.expect(wire.PONG, request_id)
                client.close()

    def test_place_in_an_arena(self):
        with scene() as it:
            client = ring_client(it, 4096, offset=64)
            scenes.expect_inline_works(client)

    def test_without_reading_above_high_water(self):
        """What it asks for waits; all of it is answered, in order, once it reads."""
        with scene(stall_timeout_ms=60000, high_water_bytes="16K") as it:
            client = ring_client(it, 4096)
            raw = b"".join(wire.frame(wire.PING, request_id) for request_id in range(client.last_id + 1, 50000))
            sent = 0
            while True:
                now = client.put(raw[sent:])
                sent += now
                if now == 0 and not client.readable(0):
                    break
                if now == 0:
                    before = client.words[ring_wire.DAEMON + HEAD]
                    time.sleep(0.2)  # no event tells that nothing happens
                    if client.words[ring_wire.DAEMON + HEAD] == before:
                        break
            self.assertLess(sent, len(raw), "the daemon reads without end from who does not listen")
            for request_id in range(client.last_id + 1, client.last_id + 1 + sent // 32):
                client.expect(wire.PONG, request_id)


class Starting(unittest.TestCase):
    """RING_START that makes no sense: ERROR, and the connection goes on by the socket."""

    def test_refused(self):
        with scene() as it:
            client = it.stranger()
            client.hello(features=1)
            arena = client.arena_create(1 << 16)
            refused = [
                (wire.NOT_FOUND, ("arena",), start_control(arena.handle + 1, 0, 4096, 4096)),
                (wire.NOT_FOUND, ("arena",), start_control(0, 0, 4096, 4096)),
                (wire.INVALID, ("multiple of 64",), start_control(arena.handle, 32, 4096, 4096)),
                (wire.INVALID, ("power of two",), start_control(arena.handle, 0, 4096, 2048)),
                (wire.INVALID, ("power of two",), start_control(arena.handle, 0, 12288, 4096)),
                (wire.INVALID, ("power of two",), start_control(arena.handle, 0, 4096, 1 << 21)),
                (wire.INVALID, ("power of two",), start_control(arena.handle, 0, 0, 0)),
                (wire.INVALID, ("outside",), start_control(arena.handle, 0, 32768, 32768)),
                (wire.INVALID, ("outside",), start_control(arena.handle, (1 << 16) - 8192, 4096, 4096)),
                (wire.INVALID, ("64 bits",), start_control(arena.handle, (1 << 64) - 64, 4096, 4096)),
            ]
            for status, words, control in refused:
                client.expect_error(client.send(wire.RING_START, control), status, *words)
            scenes.expect_inline_works(client)
            self.assertEqual(it.status()["connections_faulted"], 0)

    def test_without_the_feature(self):
        with scene() as it:
            client = it.offender()
            arena = client.arena_create(1 << 16)
            client.expect_error(client.send(wire.RING_START, start_control(arena.handle, 0, 4096, 4096)),
                                wire.INVALID, "RING", "HELLO")
            scenes.expect_inline_works(client)

    def test_twice(self):
        with scene() as it:
            client = ring_client(it)
            arena = client.arena_create(1 << 16)
            client.expect_error(client.send(wire.RING_START, start_control(arena.handle, 0, 4096, 4096)),
                                wire.INVALID, "has rings")
            scenes.expect_inline_works(client)

    def test_before_hello(self):
        with scene() as it:
            client = it.stranger()
            client.send(wire.RING_START, start_control(1, 0, 4096, 4096))
            client.expect_bye(wire.PROTOCOL, "RING_START came before HELLO")

    def test_bytes_behind_it(self):
        """In the same segment, after it, and later: by the socket comes nothing more."""
        for later in (False, True):
            with scene() as it, self.subTest(later=later):
                client = RingWire(it.daemon.path)
                it.offenders.append(client)
                client.hello()
                arena = client.arena_create(1 << 16)
                raw = wire.frame(wire.RING_START, client.next_id(), start_control(arena.handle, 0, 4096, 4096))
                started = client.last_id
                ping = wire.frame(wire.PING, client.next_id())
                client.send_raw(raw if later else raw + ping)
                client.change_over(started, arena, 4096)
                if later:
                    client.sock.sendall(ping)
                client.expect_bye(wire.PROTOCOL, "by the socket after RING_START")


class Words(unittest.TestCase):
    """Indexes that cannot be: the connection ends, with BYE where one can still be said."""

    def test_tail_beyond(self):
        for beyond in (4097, 4098, 1 << 16, 1 << 31, 0xffffffff):
            with scene() as it, self.subTest(beyond=beyond):
                client = ring_client(it, 4096)
                client.ping()
                client.words[CLIENT + TAIL] = (client.tail + beyond) & 0xffffffff
                client.ring_bell()
                client.expect_bye(wire.PROTOCOL, "submission ring's tail")

    def test_tail_going_back(self):
        with scene() as it:
            client = ring_client(it, 4096)
            client.ping()
            client.words[CLIENT + TAIL] = client.tail - 32
            client.ring_bell()
            client.expect_bye(wire.PROTOCOL, "submission ring's tail")

    def test_head_beyond_or_going_back(self):
        for by in (32, -96, 4096, 1 << 31):
            with scene() as it, self.subTest(by=by):
                client = ring_client(it, 4096)
                for _ in range(3):  # with the last one it is seen that those before were read
                    client.ping()
                client.words[CLIENT + HEAD] = (client.head + by) & 0xffffffff
                # Nothing can be said to it, whatever it asks; only its own requests make the daemon look.
                request_id = client.last_id + 1
                with contextlib.suppress(wire.Closed, AssertionError, TimeoutError):
                    client.put(b"".join(wire.frame(wire.PING, request_id + i) for i in range(100)))
                    client.put(b"".join(wire.frame(wire.PING, request_id + 100 + i) for i in range(100)))
                harness.eventually(lambda: it.status()["connections"] == it.baseline["connections"])

    def test_hints_that_lie(self):
        """They wake it in vain, or not at all: that is its own affair."""
        with scene() as it:
            client = ring_client(it, 4096)
            for cpu in (0, 1, 7, 0x7fffffff, 0xffffffff):
                for wants in (0, 1, 2, 3, 0xffffffff):
                    client.words[CLIENT + CPU], client.words[CLIENT + WANTS] = cpu, wants
                    client.ping()

    def test_bells_for_nothing(self):
        with scene() as it:
            client = ring_client(it, 4096)
            for _ in range(1000):
                client.ring_bell()
            client.ping()

    def test_bell_that_blocks(self):
        """Both bells are shared files: the client fills them, and clears O_NONBLOCK. The daemon never waits for it."""
        with scene() as it:
            client = ring_client(it, 4096)
            for bell in client.bells:
                os.set_blocking(bell, True)
            os.write(client.bells[0], ((1 << 64) - 2 - 64).to_bytes(8, "little"))
            client.words[CLIENT + WANTS] = 3
            client.tail = (client.tail + 32) & 0xffffffff
            client.outgoing[:32] = wire.frame(wire.PING, client.next_id())
            client.words[CLIENT + TAIL] = client.tail
            os.write(client.bells[0], (1).to_bytes(8, "little"))
            for _ in range(100):
                it.bystander.ping()
            client.close()

    def test_daemons_own_words(self):
        """What the daemon says of itself it does not read: scribbling there hurts the scribbler."""
        with scene() as it:
            client = ring_client(it, 4096)
            for word in range(ring_wire.DAEMON, ring_wire.DAEMON + 4):
                client.words[word] = 0xdeadbeef
            client.put(wire.frame(wire.PING, client.next_id()))
            it.bystander.ping()

    def test_scribbled_over(self):
        """Words and bytes at random, all the time, while it and others have jobs running."""
        with scene() as it:
            for seed in range(SEED, SEED + harness.scaled(24)):
                rng = random.Random(seed)
                client = ring_client(it, 4096)
                for _ in range(rng.randrange(1, 200)):
                    what = rng.randrange(3)
                    if what == 0:
                        client.words[rng.randrange(96)] = rng.choice((0, 1, 32, 4096, rng.randrange(1 << 32)))
                    elif what == 1:
                        client.outgoing[rng.randrange(4096)] = rng.randrange(256)
                    else:
                        with contextlib.suppress(AssertionError, ValueError):
                            client.put(wire.frame(rng.randrange(1, 12), client.next_id(),
                                                  rng.randbytes(rng.randrange(8)))[:client.size])
                    client.ring_bell()
                it.job.expect_exact()
                it.in_flight()
                client.close()

    def test_payload_that_changes(self):
        """Another thread writes over the ring while the daemon copies: some product comes, to this client alone."""
        with scene() as it:
            client = ring_client(it)
            stop = threading.Event()

            def scribble():
                while not stop.is_set():
                    client.outgoing[32768:33000] = os.urandom(232)

            thread = threading.Thread(target=scribble)
            thread.start()
            try:
                for _ in range(20):
                    request_id = client.matmul(100, 500, 8, wire.Place(), wire.Place(offset=50000), wire.Place(),
                                               payload=bytes(54000))
                    with contextlib.suppress(wire.Closed, AssertionError):  # its headers may be hit as well
                        client.done(request_id)
            finally:
                stop.set()
                thread.join()


class Time(unittest.TestCase):
    def test_frame_unfinished(self):
        with scene(frame_timeout_ms=SHORT_MS) as it:
            for n in (1, 31):
                client = ring_client(it, 4096)
                client.send_raw(wire.frame(wire.PING, client.next_id())[:n])
                client.expect_bye(wire.PROTOCOL, "not finished")

    def test_payload_unfinished(self):
        with scene(frame_timeout_ms=SHORT_MS) as it:
            client = ring_client(it, 4096)
            client.send_raw(wire.frame(wire.WEIGHTS_LOAD, client.next_id(), wire.weights_control(10, 10),
                                       bytes(100))[:-1])
            client.expect_bye(wire.PROTOCOL, "not finished")

    def test_nothing_read(self):
        """A product larger than the ring, and nobody takes it out."""
        with scene(stall_timeout_ms=SHORT_MS, high_water_bytes="64K") as it:
            client = ring_client(it, 4096)
            client.matmul(256, 1, 1024, wire.Place(), wire.Place(offset=256), wire.Place(),
                          payload=b"\1" * (256 + 1024))
            harness.eventually(lambda: it.status()["connections"] == it.baseline["connections"])

    def test_bye_waits_until_it_is_read(self):
        """And the memory is not cleared under it."""
        with scene(stall_timeout_ms=60000) as it:
            client = ring_client(it, 4096)
            client.put(wire.frame(wire.PING, 0))  # ids are above the last one
            harness.eventually(client.waiting)
            it.bystander.ping()
            self.assertEqual(it.status()["connections"], it.baseline["connections"] + 1)
            client.expect_bye(wire.PROTOCOL, "id 0")

    def test_bye_that_nobody_reads(self):
        with scene(stall_timeout_ms=SHORT_MS) as it:
            client = ring_client(it, 4096)
            client.put(wire.frame(wire.PING, 0))
            harness.eventually(lambda: it.status()["connections"] == it.baseline["connections"])


class Turns(unittest.TestCase):
    def test_full_rings_leave_others_a_turn(self):
        """More work than a turn of the loop has time for, in rings that never run dry: all get on alike."""
        with scene() as it:
            announced = 16 << 20
            raw = bytearray(wire.frame(wire.WEIGHTS_LOAD, 1000, wire.weights_control(2048, 8192), b"\0"))[:-1]
            raw[16:24] = announced.to_bytes(8, "little")
            clients = [ring_client(it, 1 << 20) for _ in range(harness.scaled(60, by=2))]
            for client in clients:
                client.put(raw)

            def read_bytes(client):
                return client.words[ring_wire.DAEMON + HEAD]

            while max(map(read_bytes, clients)) < 4 << 20:
                for client in clients:
                    client.words[CLIENT + TAIL] = (read_bytes(client) + client.size) & 0xffffffff
                    client.ring_bell()
            progress = sorted(map(read_bytes, clients))
            self.assertGreater(progress[0], progress[-1] // 8, f"of {len(clients)} clients: {progress}")


class Ends(unittest.TestCase):
    def test_arena_released_under_the_rings(self):
        """Its number is gone at once, its memory with the connection, and so is the answer."""
        with scene() as it:
            client = RingWire(it.daemon.path)
            it.offenders.append(client)
            client.hello()
            arena = client.start(4096)
            released = client.arena_release(arena.handle)
            client.expect_quiet()
            client.expect_error(client.arena_release(arena.handle), wire.NOT_FOUND)
            scenes.expect_inline_works(client)
            self.assertFalse([got for got in client.inbox if got.request_id == released])

    def test_memory_is_cleared_at_the_end(self):
        with scene() as it:
            client = ring_client(it, 4096)
            client.ping()
            arena = client.arenas[0]
            client.sock.close()
            harness.eventually(lambda: arena.pages_bytes() == 0)
            self.assertEqual(client.words[ring_wire.OPEN], 0)

    def test_closed_before_its_bye_is_read(self):
        """Then nobody is waited for: what it held is free at once, not when the time for last words is over."""
        with scene(stall_timeout_ms=600000) as it:
            client = ring_client(it, 4096)
            client.put(wire.frame(wire.PING, 0))  # ids are above the last one
            harness.eventually(client.waiting)
            client.sock.close()
            harness.eventually(lambda: it.status()["connections"] == it.baseline["connections"])

    def test_killed_with_everything_under_way(self):
        with scene() as it:
            def work(stage):
                client = stage.enter_context(RingWire(it.daemon.path))
                client.hello()
                client.start(4096)
                job = scenes.ArenaJob(client, 256, 512, 512, oracle=False)
                for _ in range(8):
                    job.submit()
                client.put(wire.frame(wire.MATMUL, client.next_id(), wire.matmul_control(100, 100, 100),
                                      bytes(20000))[:3000])

            with scenes.killed_client(work):
                it.job.expect_exact()
                it.in_flight()

    def test_half_close(self):
        with scene() as it:
            client = ring_client(it, 4096)
            client.ping()
            client.sock.shutdown(1)
            harness.eventually(lambda: it.status()["connections"] == it.baseline["connections"])

    def test_daemon_stops(self):
        """What it said is read afterwards, BYE included."""
        with harness.Daemon() as daemon, RingWire(daemon.path) as client:
            client.hello()
            client.start()
            job = scenes.ArenaJob(client, 64, 64, 64)
            job.submit()
            client.ping()
            daemon.stop()
            job.expect_exact()
            client.expect_bye(wire.OK, "stopping")

    def test_daemon_dies(self):
        with harness.Daemon() as daemon, RingWire(daemon.path) as client:
            client.hello()
            client.start()
            request_id = client.send(wire.PING)
            harness.eventually(client.waiting)
            daemon.judged = True
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            client.expect(wire.PONG, request_id)
            client.expect_end()

    def test_out_of_descriptors(self):
        """Rings need some: without, the connection goes on as it was."""
        with scene(nofile=64) as it:
            served = refused = 0
            clients = []
            for _ in range(40):
                client = RingWire(it.daemon.path)
                it.offenders.append(client)
                try:
                    client.hello()
                    arena = client.arena_create(1 << 16)
                except (OSError, AssertionError, wire.Closed):
                    break
                got = client.reply_to(client.send(wire.RING_START, start_control(arena.handle, 0, 4096, 4096)))
                if got.kind == wire.RING_STARTED:
                    served += 1
                else:
                    self.assertEqual((got.kind, got.status), (wire.ERROR, wire.BUSY))
                    client.ping()
                    refused += 1
                clients.append(client)
            self.assertGreater(served, 0)
            self.assertGreater(refused, 0)


if __name__ == "__main__":
    print(f"NPUMM_TEST_SEED={SEED} repeats this run", flush=True)
    harness.main()
