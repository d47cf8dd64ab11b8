#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Too slow, too much, too many, and gone too early: each limit of the daemon is reached by a client of its own.

Every test is a scene, as in test_hostile.py: at its end the bystander's products were exact, the idle client is still
there, and the daemon holds what it held before.
"""
import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import termios
import time
import unittest

import numpy

import harness
import scenes
import wire
from scenes import PAGE, Table, scene
from wire import Place

UINT64_MAX = 2**64 - 1

# A timeout that a test waits for. An honest client of the same daemon must keep it too, however busy the machine.
SHORT_MS = 1500 if harness.SLOW else 500


def flood(client, rows=2048, n=1024):
    """An inline job whose result (8 MiB) fits in no socket buffer; returns its request id."""
    return scenes.inline_submit(client, numpy.ones((rows, 1), numpy.int8), numpy.ones((1, n), numpy.int8))


def unread_bytes(sock):
    """Sent through it and not yet taken by the other side."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


class Timeouts(unittest.TestCase):
    """Who begins must finish, and who is told must listen."""

    def gone_in_time(self, client, since, *words, least_ms=SHORT_MS):
        """BYE comes, and not before its time."""
        client.expect_bye(wire.PROTOCOL, *words)
        self.assertGreaterEqual(time.monotonic() - since, least_ms / 1000 - 0.05)

    def test_no_hello(self):
        with scene(hello_timeout_ms=SHORT_MS) as it:
            since = time.monotonic()
            client = it.stranger()
            self.gone_in_time(client, since, "no HELLO", f"{SHORT_MS} ms")

    def test_half_a_hello(self):
        with scene(hello_timeout_ms=SHORT_MS) as it:
            since = time.monotonic()
            client = it.stranger()
            client.send_raw(wire.frame(wire.HELLO, 1, wire.hello_control())[:20])
            self.gone_in_time(client, since, "no HELLO")

    def test_idle_client_stays(self):
        """Longer than every timeout: one after the other, three clients exceed one each meanwhile."""
        with scene(hello_timeout_ms=SHORT_MS, frame_timeout_ms=SHORT_MS, stall_timeout_ms=SHORT_MS) as it:
            idle = it.offender()
            for greeted in (False, True, True):
                since = time.monotonic()
                client = it.offender() if greeted else it.stranger()
                client.send_raw(b"N")
                self.gone_in_time(client, since)
            idle.expect_quiet()
            scenes.expect_inline_works(idle)

    def test_header_unfinished(self):
        with scene(frame_timeout_ms=SHORT_MS) as it:
            client = it.offender()
            since = time.monotonic()
            client.send_raw(wire.frame(wire.PING, 2)[:31])
            self.gone_in_time(client, since, "not finished", f"{SHORT_MS} ms")

    def test_control_unfinished(self):
        with scene(frame_timeout_ms=SHORT_MS) as it:
            client = it.offender()
            since = time.monotonic()
            client.send_raw(wire.frame(wire.MATMUL, 2, wire.matmul_control(4, 8, 4))[:-1])
            self.gone_in_time(client, since, "not finished")

    def test_control_in_drips(self):
        """A byte now and then buys no time."""
        with scene(frame_timeout_ms=SHORT_MS) as it:
            client = it.offender()
            raw = wire.frame(wire.MATMUL, 2, wire.matmul_control(4, 8, 4) + b"\xf8\x07\x01" * 1000)
            since = time.monotonic()
            for byte in raw:
                if client.readable(SHORT_MS / 10000):
                    break
                client.send_raw(bytes([byte]))
            self.gone_in_time(client, since, "not finished")

    def test_payload_unfinished(self):
        size = 1 << 20  # a second at this rate
        with scene(frame_timeout_ms=SHORT_MS, payload_bytes_per_s="1M") as it:
            client = it.offender()
            since = time.monotonic()
            client.send(wire.MATMUL, wire.matmul_control(1024, 1023, 1, Place(), Place(offset=1024 * 1023), Place()),
                        payload_bytes=size)
            client.send_raw(bytes(size - 1))
            self.gone_in_time(client, since, "not finished", least_ms=SHORT_MS + 1000)

    def test_discarded_payload_unfinished(self):
        with scene(frame_timeout_ms=SHORT_MS, payload_bytes_per_s="1M") as it:
            client = it.offender()
            since = time.monotonic()
            client.send(wire.MATMUL, wire.matmul_control(0, 0, 0), payload_bytes=4096)
            client.send_raw(bytes(4095))
            client.expect_done(client.last_id, wire.INVALID)
            self.gone_in_time(client, since, "not finished")

    def test_payload_at_a_permitted_rate(self):
        """Takes longer than a control part may, and less than the rate allows."""
        pieces, wait_s = 12, SHORT_MS / 1000 / 6  # twice SHORT_MS in all
        rng = numpy.random.default_rng(4)
        a, b = scenes.random_matrix(rng, 12, 4096), scenes.random_matrix(rng, 4096, 4)
        raw = a.tobytes() + b.tobytes()
        rate = len(raw) * 1000 // (4 * SHORT_MS)  # allowed: SHORT_MS and four times it
        with scene(frame_timeout_ms=SHORT_MS, payload_bytes_per_s=rate) as it:
            client = it.offender()
            request_id = client.send(wire.MATMUL, wire.matmul_control(
                12, 4096, 4, Place(), Place(offset=a.size), Place()), payload_bytes=len(raw))
            since = time.monotonic()
            step = -(-len(raw) // pieces)
            for at in range(0, len(raw), step):
                self.assertFalse(client.readable(wait_s), "the daemon has something against it")
                client.send_raw(raw[at:at + step])
            self.assertGreater(time.monotonic() - since, 1.5 * SHORT_MS / 1000)
            self.assertTrue(numpy.array_equal(scenes.inline_result(client, request_id, 12, 4),
                                              scenes.product(a, b)))

    def test_no_reply_byte_accepted(self):
        with scene(stall_timeout_ms=SHORT_MS, high_water_bytes="64K") as it:
            client = it.offender()
            since = time.monotonic()
            request_id = flood(client)
            harness.eventually(lambda: it.status()["connections"] == it.baseline["connections"])
            self.assertGreaterEqual(time.monotonic() - since, SHORT_MS / 1000 - 0.05)
            with self.assertRaises(wire.Closed):  # what lay in the socket's buffer can still be read, but no end
                while True:
                    got = client.receive()
                    self.assertEqual((got.kind, got.request_id), (wire.ROWS, request_id))

    def test_slow_reader_stays(self):
        """Less than a socket buffer within each stall timeout, but always something."""
        with scene(stall_timeout_ms=SHORT_MS, high_water_bytes="64K") as it:
            client = it.offender()
            request_id = flood(client, rows=512)
            since = time.monotonic()
            while time.monotonic() - since < 4 * SHORT_MS / 1000:
                select.select([], [], [], SHORT_MS / 1000 / 4)
                client._bytes += client.sock.recv(16384)
            c = scenes.inline_result(client, request_id, 512, 1024)
            self.assertTrue((c == 1).all())

    def test_stalled_client_is_not_read(self):
        """Above high water its requests wait; they are answered, all and in order, once it reads."""
        with scene(stall_timeout_ms=60000, high_water_bytes="64K") as it:
            client = it.offender()
            first = flood(client)
            client.sock.setblocking(False)
            sent, raw = 0, b"".join(wire.frame(wire.PING, request_id) for request_id in range(first + 1, 200000))
            with contextlib.suppress(BlockingIOError):
                while sent < len(raw):
                    sent += client.sock.send(raw[sent:sent + 65536])
            self.assertLess(sent, len(raw), "the daemon reads without end from who does not listen")
            client.sock.setblocking(True)
            c = scenes.inline_result(client, first, 2048, 1024)
            self.assertTrue((c == 1).all())
            for request_id in range(first + 1, first + 1 + sent // 32):
                client.expect(wire.PONG, request_id)
            client.send_raw(raw[sent:-(-sent // 32) * 32])

    def test_requests_without_reading(self):
        """10,000 and more requests by one that never reads: bounded in the daemon, then closed."""
        with scene(stall_timeout_ms=SHORT_MS, high_water_bytes="64K") as it:
            before = it.daemon.memory_kib("VmRSS")
            client = it.offender()
            raw = b"".join(wire.frame(wire.STATUS, request_id) for request_id in range(2, 20000))
            with self.assertRaises(OSError) as caught:
                client.send_raw(raw)
            self.assertIn(caught.exception.errno, (errno.EPIPE, errno.ECONNRESET))
            self.assertLess(it.daemon.memory_kib("VmRSS") - before, 100000 if harness.SLOW else 10000, "KiB")

    def test_status_without_reading_by_many(self):
        """Each asks as often as one read takes in. The report grows with the number of clients, so what is queued must
        not grow with its square."""
        with scene(stall_timeout_ms=60000) as it:
            crowd = [it.stranger() for _ in range(harness.scaled(120, by=2))]
            for client in crowd:
                client.hello(name="x" * 64)
            before = it.daemon.memory_kib("VmRSS")
            for client in crowd:
                client.send_raw(b"".join(wire.frame(wire.STATUS, request_id) for request_id in range(2, 130)))
            for client in crowd:
                harness.eventually(lambda sock=client.sock: unread_bytes(sock) == 0)
            it.bystander.ping()
            if not harness.SLOW:  # a sanitizer's shadow and quarantine would be what is measured
                self.assertLess(it.daemon.memory_kib("VmRSS") - before, 20000, "KiB")
            for request_id in range(2, 130):
                crowd[-1].expect(wire.STATUS_REPORT, request_id)


class Quotas(unittest.TestCase):
    """Over a limit: BUSY, which names it; within it everything goes on. The bystander and the idle client are two
    connections of the same user."""

    def test_connections(self):
        with scene(connections=3) as it:
            it.offender()
            self.turned_away(it, "connections = 3")

    def test_connections_per_uid(self):
        with scene(connections_per_uid=3) as it:
            last = it.offender()
            self.turned_away(it, "connections-per-uid = 3", f"uid {os.geteuid()}")
            last.close()  # one goes, another comes
            harness.eventually(lambda: it.status()["connections"] == 2)
            scenes.expect_inline_works(it.offender())

    def turned_away(self, it, *words):
        refused = it.status()["connections_refused"]
        for _ in range(20):
            with it.daemon.connect() as client:
                client.expect_bye(wire.BUSY, *words)
        self.assertEqual(it.status()["connections_refused"], refused + 20)

    def test_arenas_per_connection(self):
        with scene(arenas_per_connection=1) as it:
            client = it.offender()
            arena = client.arena_create(PAGE)
            client.expect_error(client.send(wire.ARENA_CREATE, wire.number(1, PAGE)), wire.BUSY,
                                "arenas-per-connection = 1")
            client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))
            client.arena_create(PAGE)

    def test_arenas_per_uid(self):
        """Each is a file descriptor, however small, and also while its ARENA_CREATED lies unread."""
        with scene(arenas_per_uid=8, arenas_per_connection=100) as it:
            client = it.offender()
            arenas = [client.arena_create(PAGE) for _ in range(8 - it.status()["arenas"])]
            client.expect_error(client.send(wire.ARENA_CREATE, wire.number(1, PAGE)), wire.BUSY, "arenas-per-uid = 8")
            client.expect(wire.ARENA_RELEASED, client.arena_release(arenas[0].handle))
            client.arena_create(PAGE)

    def test_arena_bytes(self):
        limit = 4 << 20
        with scene(arena_bytes=limit) as it:
            client = it.offender()
            for size in (limit + 1, 2**40, 2**63, UINT64_MAX):
                client.expect_error(client.send(wire.ARENA_CREATE, wire.number(1, size)), wire.BUSY,
                                    f"arena-bytes = {limit}", str(size))
            self.assertEqual(client.arena_create(limit).size, limit)

    def test_arena_is_charged_by_its_size(self):
        """And not by its pages: it may be larger than the machine's memory, if the limits say so."""
        with scene(arena_bytes="256G", bytes_per_uid="300G", bytes="300G") as it:
            client = it.offender()
            self.assertEqual(client.arena_create(256 << 30).pages_bytes(), 0)
            client.expect_error(client.send(wire.ARENA_CREATE, wire.number(1, 64 << 30)), wire.BUSY, "bytes-per-uid")

    def bystander_bytes(self):
        m, k, n = scenes.Scene.BYSTANDER_SHAPE
        return sum(-(-size // PAGE) * PAGE for size in (m * k, k * n, m * n * 4))

    def over_bytes(self, key):
        """Room for the bystander, three pages, and no more. Arenas, payloads and inline results count alike."""
        limit = self.bystander_bytes() + 3 * PAGE
        with scene(**{key: limit}) as it:
            words = f"{key.replace('_', '-')} = {limit}",
            client = it.offender()
            client.expect_error(client.send(wire.ARENA_CREATE, wire.number(1, 3 * PAGE + 1)), wire.BUSY, *words)
            arena = client.arena_create(2 * PAGE + 1)  # three pages
            client.expect_error(client.send(wire.ARENA_CREATE, wire.number(1, 1)), wire.BUSY, *words)
            client.expect_done(client.matmul(4, 8, 4, Place(), Place(offset=32), arena.place(), payload=bytes(64)),
                               wire.BUSY, *words)
            client.expect_done(client.matmul(4, 8, 4, arena.place(), arena.place(32), Place()), wire.BUSY, *words)
            client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))
            client.expect_done(client.matmul(1, 1, 3 * PAGE + 1, Place(), Place(offset=1), Place(),
                                             payload=bytes(3 * PAGE + 2)), wire.BUSY, *words)
            scenes.expect_inline_works(client)

    def test_bytes_per_uid(self):
        self.over_bytes("bytes_per_uid")

    def test_bytes(self):
        self.over_bytes("bytes")

    def many(self, it, client, count):
        """Jobs in one piece: the daemon reads them all before the first can be done. Their DONEs."""
        asks = Table(client)
        ids = [client.next_id() for _ in range(count)]
        client.send_raw(b"".join(wire.frame(wire.MATMUL, request_id, wire.matmul_control(
            *Table.SHAPE, asks.a, asks.b, asks.c)) for request_id in ids))
        return [client.done(request_id)[0] for request_id in ids]

    def test_jobs_per_connection(self):
        with scene(jobs_per_connection=1) as it:
            client = it.offender()
            first, *others = self.many(it, client, 5)
            self.assertEqual(first.status, wire.OK)
            for done in others:
                self.assertEqual(done.status, wire.BUSY)
                self.assertIn("jobs-per-connection = 1", done.text)
            self.assertEqual(self.many(it, client, 1)[0].status, wire.OK)

    def test_jobs_per_uid(self):
        with scene(jobs_per_uid=2) as it:  # the bystander may have one in flight, or none any more
            client = it.offender()
            ends = self.many(it, client, 6)
            self.assertIn(ends[0].status, (wire.OK,))
            for done in ends[2:]:
                self.assertEqual(done.status, wire.BUSY)
                self.assertIn("jobs-per-uid = 2", done.text)
                self.assertIn(f"uid {os.geteuid()}", done.text)
            it.job.expect_exact()
            it.in_flight()

    def test_inline_bytes(self):
        with scene(inline_bytes=1000) as it:
            client = it.offender()
            scenes.expect_inline_works(client)
            client.matmul(4, 8, 4, Place(), Place(offset=32), Place(), payload=bytes(1000))
            client.matmul(4, 8, 4, Place(), Place(offset=32), Place(), payload=bytes(1001))
            client.expect_bye(wire.TOO_BIG, "1001", "inline-bytes = 1000")

    def test_limits_are_announced(self):
        with scene(inline_bytes="3M", arena_bytes="40M", arenas_per_connection=5, bytes_per_uid="70M",
                   jobs_per_connection=6) as it:
            self.assertEqual(it.stranger().hello(), {
                "control_bytes": 65536, "payload_bytes": 3 << 20, "arena_bytes": 40 << 20, "arenas": 5,
                "uid_bytes": 70 << 20, "jobs": 6})

    @unittest.skipUnless(os.geteuid() == 0, "only root can be two users")
    def test_limits_of_one_user_leave_others_alone(self):
        nobody = 65534
        with scene(connections_per_uid=4, bytes_per_uid="16M", jobs_per_uid=4) as it:
            os.chmod(it.daemon.folder, 0o755)
            os.chmod(it.daemon.path, 0o666)
            greedy = [it.offender(uid=nobody) for _ in range(4)]
            with it.daemon.connect(uid=nobody) as client:
                client.expect_bye(wire.BUSY, "connections-per-uid = 4", f"uid {nobody}")
            greedy[0].arena_create(16 << 20)
            greedy[1].expect_error(greedy[1].send(wire.ARENA_CREATE, wire.number(1, 1)), wire.BUSY,
                                   "bytes-per-uid", f"uid {nobody}")
            mine = it.offender()
            mine.arena_create(PAGE)
            scenes.expect_inline_works(mine)


class Crowds(unittest.TestCase):
    """Connections that say nothing are the first to go when room is short."""

    def test_silent_connections_make_room(self):
        """Oldest first, without a word; whoever has said HELLO stays."""
        for key in ("connections_per_uid", "connections"):
            with scene(**{key: 8}) as it:
                silent = [it.stranger() for _ in range(6)]
                harness.eventually(lambda: it.status()["connections"] == 8)
                for gone in range(4):
                    scenes.expect_inline_works(it.offender())
                    silent[gone].expect_end()
                    for still in silent[gone + 1:]:
                        self.assertFalse(still.readable(0))
                silent[5].hello()

    def test_slow_loris(self):
        """Many that send a byte now and then do not keep an honest client out."""
        with scene(connections_per_uid=32) as it:
            hello = wire.frame(wire.HELLO, 1, wire.hello_control())
            crowd = []
            for turn in range(10):
                while len(crowd) < 60 + 20 * turn:
                    crowd.append(it.stranger())
                for client in crowd:
                    with contextlib.suppress(OSError):
                        client.send_raw(hello[turn:turn + 1])
                honest = it.offender()
                scenes.expect_inline_works(honest)
                honest.close()

    def test_connect_and_close_churn(self):
        with scene() as it:
            for turn in range(1000):
                client = it.daemon.connect()
                if turn % 3 == 0:
                    client.send(wire.HELLO, wire.hello_control())
                client.close()
            scenes.expect_inline_works(it.offender())

    def test_out_of_descriptors(self):
        """Turned away with BUSY, no busy loop, and all is well when there are some again."""
        with scene(nofile=64) as it:
            crowd = []
            while True:
                client = it.stranger()
                with contextlib.suppress(OSError):  # it may have been turned away before
                    client.send(wire.HELLO, wire.hello_control())
                got = client.receive()
                if got.kind == wire.BYE:
                    self.assertEqual(got.status, wire.BUSY)
                    self.assertIn("file descriptors", got.text)
                    client.expect_end()
                    break
                crowd.append(client)
                self.assertLess(len(crowd), 64)
            self.assertGreater(len(crowd), 20)
            crowd[0].ping()
            it.job.expect_exact()
            self.assertLess(it.idle_cpu_seconds(0.3), 0.15, "seconds of work while there was none")
            it.in_flight()
            for client in crowd:
                client.close()
            harness.eventually(lambda: it.status()["connections"] == 2)
            scenes.expect_inline_works(it.offender())

    def test_silent_connections_when_out_of_descriptors(self):
        with scene(nofile=64) as it:
            for _ in range(100):
                it.stranger()
            honest = None
            for _ in range(20):
                try:
                    honest = it.offender()
                    break
                except (AssertionError, wire.Closed, OSError):  # turned away; another silent one goes for it
                    continue
            self.assertIsNotNone(honest, "20 attempts of an honest client were turned away")
            honest.ping()

    def test_arenas_when_out_of_descriptors(self):
        """An arena takes a descriptor too: its maker hears BUSY, or is alone in losing its connection."""
        with scene(nofile=64, arenas_per_connection=1000) as it:
            client = it.offender()
            with contextlib.suppress(wire.Closed):
                for _ in range(64):
                    got = client.reply_to(client.send(wire.ARENA_CREATE, wire.number(1, PAGE)))
                    if got.kind == wire.ERROR:
                        break
                else:
                    self.fail("64 descriptors were enough for 64 arenas")
                self.assertEqual(got.status, wire.BUSY)
                self.assertIn("open files", got.text)


class Leaving(unittest.TestCase):
    """Clients that go in the middle of something."""

    def test_half_close_with_a_job_running(self):
        """Counts as closing: the job is dropped, its memory comes back."""
        with scene() as it:
            client = it.offender()
            job = scenes.ArenaJob(client, harness.scaled(1024), 1024, 512)
            job.submit()
            client.sock.shutdown(socket.SHUT_WR)
            with self.assertRaises(wire.Closed):
                while True:
                    client.receive()

    def test_half_close_in_a_frame(self):
        with scene() as it:
            client = it.offender()
            client.send_raw(wire.frame(wire.PING, 2)[:17])
            client.sock.shutdown(socket.SHUT_WR)
            client.expect_end()

    def test_half_close_of_the_reading_side(self):
        """The daemon finds out when it has something to say."""
        with scene() as it:
            client = it.offender()
            client.sock.shutdown(socket.SHUT_RD)
            client.send(wire.PING)

    def test_close_with_everything_under_way(self):
        with scene() as it:
            for turn in range(20):
                client = it.offender()
                job = scenes.ArenaJob(client, harness.scaled(256), 256, 256)
                job.submit()
                job.submit()
                client.arena_release(job.arena.handle)
                flood(client)
                client.send(wire.STATUS)
                client.send_raw(wire.frame(wire.MATMUL, client.next_id(), wire.matmul_control(
                    4, 8, 4, Place(), Place(offset=32), Place()), bytes(64))[:50 + turn])
                client.close()


if __name__ == "__main__":
    harness.main()
