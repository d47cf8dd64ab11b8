#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ends: of clients that are killed, of arenas, of jobs that are cancelled, and of the daemon itself.

The daemon's memory is looked at from outside: the descriptors and mappings it holds, and the blocks of the arenas'
memfds, also through descriptors that a client has kept.
"""
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import tempfile
import time
import unittest

import numpy

import harness
import scenes
import wire
from harness import Daemon, eventually
from scenes import PAGE, ArenaJob, killed_client, scene
from wire import Place

# A job that takes a good part of a second, and one that takes longer than any of these tests waits for it.
LONG = (2048, 1024, harness.scaled(2048, by=64))
ENDLESS = (65536, 1024, 1024)


class KilledClients(unittest.TestCase):
    """kill -9 costs nobody else anything; the scene's end checks that all of its memory is back."""

    def test_in_mid_upload(self):
        size = 16 << 20
        with scene() as it:
            def work(stage):
                client = stage.enter_context(it.daemon.client())
                control = wire.matmul_control(4096, 4095, 1, Place(), Place(offset=4096 * 4095), Place())
                client.send(wire.MATMUL, control, payload_bytes=size)
                client.send_raw(b"\x01" * (size // 2))

            with killed_client(work):
                eventually(lambda: it.bytes_in_memory() >= size // 2, what="half of the upload in the daemon")
            it.expect_baseline()

    def test_in_mid_job(self):
        with scene() as it:
            cancelled = it.status()["jobs_cancelled"]

            def work(stage):
                client = stage.enter_context(it.daemon.client())
                job = ArenaJob(client, *ENDLESS, oracle=False)
                job.submit()
                assert client.reply_to(job.request_id).kind == wire.ROWS  # it has begun

            with killed_client(work):
                self.assertEqual(it.status()["connections"], it.baseline["connections"] + 1)
            eventually(lambda: it.status()["jobs_cancelled"] == cancelled + 1, what="the job dropped half done")
            it.expect_baseline()

    def test_in_mid_reply(self):
        with scene() as it:
            def work(stage):
                client = stage.enter_context(it.daemon.client())
                scenes.inline_submit(client, numpy.ones((2048, 1), numpy.int8), numpy.ones((1, 2048), numpy.int8))
                assert client.readable(harness.PATIENCE)  # and it will not read: 16 MiB do not fit anywhere

            with killed_client(work):
                eventually(lambda: it.status()["jobs_inside"] == 0, what="the end of the job")
                self.assertGreaterEqual(it.bytes_in_memory(), 8 << 20, "the reply is in the daemon")
            it.expect_baseline()

    def test_in_mid_everything(self):
        """Ten clients, each with arenas, jobs, uploads and replies under way, killed at once."""
        with scene() as it, contextlib.ExitStack() as stack:
            def work(stage):
                client = stage.enter_context(it.daemon.client())
                jobs = [ArenaJob(client, *LONG, oracle=False) for _ in range(2)]
                for job in jobs:
                    job.submit()
                client.arena_release(jobs[0].arena.handle)
                scenes.inline_submit(client, numpy.ones((512, 1), numpy.int8), numpy.ones((1, 1024), numpy.int8))
                client.send(wire.STATUS)
                client.send_raw(wire.frame(wire.MATMUL, client.next_id(), wire.matmul_control(
                    4, 8, 4, Place(), Place(offset=32), Place()), bytes(64))[:-1])

            for _ in range(10):
                stack.enter_context(killed_client(work))
            eventually(lambda: it.status()["connections"] == it.baseline["connections"] + 10)
            stack.close()
            it.expect_baseline()


class Arenas(unittest.TestCase):
    """An arena's pages live as long as somebody may need them, and no longer."""

    def test_release_frees_the_pages_although_the_client_maps_them(self):
        with scene() as it:
            client = it.offender()
            arena = client.arena_create(32 << 20)
            self.assertEqual(arena.pages_bytes(), 0)
            arena.map[:] = b"\x5a" * arena.size
            self.assertEqual(arena.pages_bytes(), arena.size)
            client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))
            self.assertEqual(arena.pages_bytes(), 0, "the reply comes when the pages are free")
            self.assertEqual(it.status()["arena_bytes"], it.baseline["arena_bytes"], "and the user is discharged")
            self.assertEqual(arena.map[0], 0)  # reading is safe
            self.assertEqual(arena.map[arena.size - 1], 0)

    def test_arena_cannot_be_resized_or_sealed_further(self):
        with scene() as it:
            arena = it.offender().arena_create(PAGE)
            for size in (0, 2 * PAGE):
                with self.assertRaises(PermissionError):
                    os.ftruncate(arena.fd, size)
            with self.assertRaises(PermissionError):
                fcntl.fcntl(arena.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)

    def test_new_arenas_are_zero(self):
        """Whatever the last owner of these pages left behind."""
        with scene() as it:
            client = it.offender()
            for _ in range(5):
                arena = client.arena_create(4 << 20)
                self.assertEqual(arena.map[:], bytes(4 << 20))
                arena.map[:] = b"\xa5" * (4 << 20)
                client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))

    def test_released_inputs_live_until_their_job_is_done(self):
        with scene(batch_bound_us=50) as it:  # so that even a short job has its rows in pieces
            client = it.offender()
            job = ArenaJob(client, *LONG)
            output = client.arena_create(job.c.nbytes)
            for c_place in (output.place(), Place()):  # in another arena, and inline
                inputs = client.arena_create(job.a.nbytes + job.b.nbytes)
                inputs.map[:] = job.a.tobytes() + job.b.tobytes()
                request_id, release_id = client.next_id(), client.next_id()
                client.send_raw(wire.frame(wire.MATMUL, request_id, wire.matmul_control(
                    *job.shape, inputs.place(), inputs.place(job.a.nbytes), c_place)) +
                    wire.frame(wire.ARENA_RELEASE, release_id, wire.number(1, inputs.handle)))
                order = []
                while release_id not in order:
                    got = client.receive()
                    order.append(got.request_id)
                    if got.request_id == request_id and got.kind == wire.ROWS:
                        first, count = got.rows
                        raw = got.payload or output.map[first * job.shape[2] * 4:(first + count) * job.shape[2] * 4]
                        rows = numpy.frombuffer(raw, numpy.int32).reshape(count, -1)
                        self.assertTrue(numpy.array_equal(rows, job.wanted[first:first + count]), "not exact")
                    elif got.request_id == request_id:
                        self.assertEqual((got.kind, got.status), (wire.DONE, wire.OK))
                self.assertEqual(got.kind, wire.ARENA_RELEASED)
                self.assertGreater(order.count(request_id), 2, "rows and the end came before")
                self.assertEqual(inputs.pages_bytes(), 0)

    def test_release_waits_for_a_job_that_writes_there(self):
        with scene() as it:
            client = it.offender()
            job = ArenaJob(client, *LONG, oracle=False)
            job.submit()
            release_id = client.arena_release(job.arena.handle)
            self.assertEqual(client.done(job.request_id)[0].status, wire.OK)
            client.expect(wire.ARENA_RELEASED, release_id)
            self.assertEqual(job.arena.pages_bytes(), 0)

    def test_cancel_lets_a_released_arena_go(self):
        with scene() as it:
            client = it.offender()
            job = ArenaJob(client, *ENDLESS, oracle=False)
            job.submit()
            release_id = client.arena_release(job.arena.handle)
            client.cancel(job.request_id)
            client.expect_done(job.request_id, wire.CANCELLED)
            client.expect(wire.ARENA_RELEASED, release_id)
            self.assertEqual(job.arena.pages_bytes(), 0)


class Cancelling(unittest.TestCase):
    """Exactly one end, and afterwards the operands are the client's again."""

    def test_waiting_job(self):
        """It never gets to the device, which is busy with the one before it."""
        with scene() as it:
            client = it.offender()
            first, second = ArenaJob(client, *ENDLESS, oracle=False), ArenaJob(client, 64, 64, 64)
            second.c.fill(ArenaJob.POISON)
            first.submit()
            request_id = client.next_id()
            client.send_raw(wire.frame(wire.MATMUL, request_id, wire.matmul_control(*second.shape, *second.places)) +
                            wire.frame(wire.CANCEL, request_id))
            self.assertEqual(client.expect_done(request_id, wire.CANCELLED), [])
            self.assertTrue((second.c == ArenaJob.POISON).all())
            client.cancel(first.request_id)
            client.expect_done(first.request_id, wire.CANCELLED)
            self.assertTrue((second.c == ArenaJob.POISON).all())
            second.submit()
            second.expect_exact()

    def test_cancel_twice_in_one_piece(self):
        with scene() as it:
            client = it.offender()
            job = ArenaJob(client, *ENDLESS, oracle=False)
            job.submit()
            client.send_raw(wire.frame(wire.CANCEL, job.request_id) * 2)
            client.expect_done(job.request_id, wire.CANCELLED)
            client.expect_quiet()

    def test_another_connections_job_is_not_found(self):
        with scene() as it:
            client = it.offender()
            for request_id in range(1, it.bystander.last_id + 5):
                client.cancel(request_id)
            client.expect_quiet()  # that the bystander's job ends with OK is checked at the scene's end

    def test_job_whose_payload_is_on_the_way(self):
        """CANCEL cannot come before the payload has; a job can be cancelled right behind it."""
        with scene() as it:
            client = it.offender()
            m, k, n = LONG
            client.send_raw(wire.frame(wire.MATMUL, client.next_id(), wire.matmul_control(
                m, k, n, Place(), Place(offset=m * k), Place()), bytes(m * k + k * n)) +
                wire.frame(wire.CANCEL, client.last_id))
            client.expect_done(client.last_id, wire.CANCELLED)
            client.expect_quiet()

    def test_nobody_writes_after_the_end(self):
        """Random times of cancelling, 200 rounds. The moment a job has ended, cancelled or not, its operands are
        scribbled over; a job behind it makes sure that whatever was still running has run; then the scribble must
        be untouched. Rows that were reported before a job was cancelled must have been right."""
        seed = random.randrange(2**32)
        print(f"seed {seed}", flush=True)
        rng = random.Random(seed)
        ends = {wire.OK: 0, wire.CANCELLED: 0}
        with scene(batch_bound_us=100) as it:
            client = it.offender()
            job = ArenaJob(client, harness.scaled(16384, by=4), 512, harness.scaled(256, by=4))
            behind = ArenaJob(client, 8, 8, 8)
            usual_s = []
            for _ in range(5):  # the first one meets pages that nobody has touched
                since = time.monotonic()
                job.submit()
                client.expect_done(job.request_id, wire.OK)
                usual_s.append(time.monotonic() - since)
            usual_s = min(usual_s)
            for turn in range(200):
                job.submit()
                self.rows_until(client, job, time.monotonic() + rng.uniform(0, 1.5 * usual_s))
                client.cancel(job.request_id)
                done, rows = client.done(job.request_id)
                for got in rows:
                    first, count = got.rows
                    self.assertTrue(numpy.array_equal(job.c[first:first + count], job.wanted[first:first + count]))
                ends[done.status] += 1
                if done.status == wire.OK:
                    self.assertTrue(numpy.array_equal(job.c, job.wanted))
                job.a.fill(0x33)
                job.c.fill(turn)
                behind.submit()
                behind.expect_exact()
                self.assertTrue((job.c == turn).all(), f"round {turn}: written after the end")
                self.assertTrue((job.a == 0x33).all())
                job.a[:] = job.a_kept
                client.expect_quiet()  # one end, and no rows behind it
        print(f"{ends[wire.OK]} completed, {ends[wire.CANCELLED]} cancelled")
        self.assertGreater(ends[wire.CANCELLED], 20)
        self.assertGreater(ends[wire.OK], 5)

    def rows_until(self, client, job, until):
        """Reads what comes of the job meanwhile, and leaves it in the inbox."""
        while (left := until - time.monotonic()) > 0 and client.readable(left):
            client.inbox.append(client.receive())


class Stopping(unittest.TestCase):
    """SIGTERM: no new work, the old work done, everybody told."""

    def test_running_jobs_are_drained(self):
        with Daemon() as daemon, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(daemon.client()) for _ in range(3)]
            idle = stack.enter_context(daemon.client())
            jobs = [ArenaJob(client, harness.scaled(512), 512, 512, seed=seed)
                    for seed, client in enumerate(clients * 3)]
            rng = numpy.random.default_rng(9)
            a, b = scenes.random_matrix(rng, 300, 200), scenes.random_matrix(rng, 200, 700)
            for job in jobs:
                job.submit()
            inline_id = scenes.inline_submit(clients[0], a, b)
            for client in clients:
                client.ping()
            daemon.terminate()
            for job in jobs:
                job.expect_exact()
            self.assertTrue(numpy.array_equal(scenes.inline_result(clients[0], inline_id, 300, 700),
                                              scenes.product(a, b)))
            for client in [*clients, idle]:
                client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)
            daemon.notify.wait("STOPPING=1")
            self.assertFalse(os.path.exists(daemon.path), "its socket is gone")
            for job in jobs:  # the memory is the client's now
                self.assertTrue(numpy.array_equal(job.c, job.wanted))
                self.assertTrue(numpy.array_equal(job.a, job.a_kept))

    @contextlib.contextmanager
    def draining(self, daemon, *clients):
        """It has been told to stop, and has a job that takes long, until the end of the block."""
        with daemon.client() as blocker:
            job = ArenaJob(blocker, *ENDLESS, oracle=False)
            job.submit()
            for client in (blocker, *clients):
                client.ping()
            daemon.terminate()
            daemon.notify.wait("STOPPING=1", daemon.process)
            yield
            blocker.cancel(job.request_id)
            blocker.expect_done(job.request_id, wire.CANCELLED)
            blocker.expect_bye(wire.OK, "the daemon is stopping")

    def test_release_while_it_drains(self):
        """Means what it always means."""
        with Daemon() as daemon, daemon.client() as client:
            arena = client.arena_create(PAGE)
            arena.map[0] = 1
            with self.draining(daemon, client):
                client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))
                self.assertEqual(arena.pages_bytes(), 0)
            client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)

    def test_new_work_while_it_drains(self):
        """A job from before is done, a new one is not begun, nobody new comes in."""
        with Daemon() as daemon, daemon.client() as client:
            job = ArenaJob(client, 17, 33, 5)
            job.submit()
            with self.draining(daemon, client):
                ones = numpy.ones((2, 2), numpy.int8)
                client.expect_done(scenes.inline_submit(client, ones, ones), wire.BUSY, "stopping")
                with self.assertRaises((OSError, wire.Closed)):  # refused, or closed before it was served
                    daemon.client()
            job.expect_exact()
            client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)

    def test_drain_timeout(self):
        with Daemon({"drain-timeout-ms": 100}) as daemon, daemon.client() as client:
            running, waiting = (ArenaJob(client, *ENDLESS, oracle=False) for _ in range(2))
            running.submit()
            waiting.submit()
            client.ping()
            daemon.terminate()
            client.expect_done(running.request_id, wire.CANCELLED)
            client.expect_done(waiting.request_id, wire.CANCELLED)
            client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)
            self.assertIn("drain-timeout-ms", daemon.stderr())

    def test_second_signal(self):
        for second in (signal.SIGTERM, signal.SIGINT):
            with Daemon({"drain-timeout-ms": 600000}) as daemon, daemon.client() as client:
                job = ArenaJob(client, *ENDLESS, oracle=False)
                job.submit()
                client.ping()
                daemon.terminate()
                daemon.notify.wait("STOPPING=1", daemon.process)
                daemon.process.send_signal(second)
                daemon.expect_exit(0)

    def test_client_that_does_not_read_its_bye(self):
        with Daemon({"stall-timeout-ms": 300}) as daemon, daemon.client() as client:
            request_id = scenes.inline_submit(client, numpy.ones((2048, 1), numpy.int8),
                                              numpy.ones((1, 2048), numpy.int8))
            self.assertTrue(client.readable(harness.PATIENCE))
            daemon.terminate()
            daemon.expect_exit(0)
            with self.assertRaises(wire.Closed):
                client.done(request_id)

    def test_client_in_the_middle_of_an_upload(self):
        """Its job was not there yet: it does not hold the daemon up, and hears the end."""
        with Daemon() as daemon, daemon.client() as client:
            client.send(wire.MATMUL, wire.matmul_control(4, 8, 4, Place(), Place(offset=32), Place()),
                        payload_bytes=64)
            client.send_raw(bytes(63))
            eventually(lambda: daemon.arenas_held()[0] == 1, what="the staged payload")
            daemon.terminate()
            client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)

    def test_an_upload_that_ends_while_it_drains(self):
        """Its job was accepted. Those that were to follow in its group would be refused: it does not wait for them."""
        a, b = numpy.full((4, 8), 3, numpy.int8), numpy.full((8, 4), 5, numpy.int8)
        payload = a.tobytes() + b.tobytes()
        with Daemon({"drain-timeout-ms": 600000}) as daemon, daemon.client() as client:
            request_id = client.send(wire.MATMUL, wire.matmul_control(
                4, 8, 4, Place(), Place(offset=a.size), Place(), more=True), payload_bytes=len(payload))
            client.send_raw(payload[:-1])
            eventually(lambda: daemon.arenas_held()[0] == 1, what="the staged payload")
            with self.draining(daemon):
                client.send_raw(payload[-1:])
                client.ping()
            self.assertTrue(numpy.array_equal(scenes.inline_result(client, request_id, 4, 4), scenes.product(a, b)))
            client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)

    def test_silent_and_broken_clients(self):
        with Daemon() as daemon, contextlib.ExitStack() as stack:
            silent = [stack.enter_context(daemon.connect()) for _ in range(3)]
            silent[1].send_raw(b"NPM")
            stack.enter_context(daemon.client()).ping()
            daemon.terminate()
            for client in silent:
                client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)

    def test_nobody_there(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Daemon() as daemon:
                daemon.process.send_signal(number)
                daemon.expect_exit(0)


class ServiceManager(unittest.TestCase):
    """What systemd gives and hears."""

    def test_ready_watchdog_stopping(self):
        with Daemon(env={"WATCHDOG_USEC": "200000"}) as daemon:
            daemon.notify.wait("WATCHDOG=1", daemon.process, count=4)
            daemon.terminate()
            daemon.notify.wait("STOPPING=1", daemon.process)
            daemon.expect_exit(0)
            self.assertLess(daemon.notify.seen.index("READY=1"), daemon.notify.seen.index("STOPPING=1"))

    def test_watchdog_while_a_job_runs(self):
        """The loop says that it lives; the device's thread is busy all the time."""
        with Daemon(env={"WATCHDOG_USEC": "200000"}) as daemon, daemon.client() as client:
            job = ArenaJob(client, *ENDLESS, oracle=False)
            job.submit()
            client.ping()
            seen = daemon.notify.seen.count("WATCHDOG=1")
            daemon.notify.wait("WATCHDOG=1", daemon.process, count=seen + 4)
            client.ping()
            self.assertEqual({got.kind for got in client.inbox} - {wire.ROWS}, set(), "it runs")

    def test_no_watchdog_unless_asked(self):
        with Daemon() as daemon:
            daemon.client().close()
            daemon.stop()
            daemon.notify.wait("STOPPING=1")
            self.assertNotIn("WATCHDOG=1", daemon.notify.seen)

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_socket_activation(self):
        """The first connection starts the daemon, and is answered; the socket's path is not the daemon's."""
        with Daemon(command=["systemd-socket-activate", "-l", "{path}", "-E", "NOTIFY_SOCKET"], wait=False) as daemon:
            eventually(lambda: "Listening on" in daemon.stderr())
            with daemon.connect() as client:
                client.hello()
                scenes.expect_inline_works(client)
                job = ArenaJob(client, 17, 33, 5)
                job.submit()
                job.expect_exact()
                daemon.notify.wait("READY=1", daemon.process)
                daemon.terminate()
                client.expect_bye(wire.OK, "the daemon is stopping")
            daemon.expect_exit(0)
            self.assertIn("systemd's socket", daemon.stderr())
            self.assertTrue(os.path.exists(daemon.path))

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_sockets_of_another_kind(self):
        """Not a stream socket, or two of them: a socket unit that is wrong is named."""
        for options, kind in ((("--datagram",), socket.SOCK_DGRAM), (("-l", "{path}.second"), socket.SOCK_STREAM)):
            with Daemon(command=["systemd-socket-activate", "-l", "{path}", *options], wait=False) as daemon:
                eventually(lambda: daemon.stderr().count("Listening on") == max(len(options), 1))
                with socket.socket(socket.AF_UNIX, kind) as client:
                    client.connect(daemon.path)
                    if kind == socket.SOCK_DGRAM:
                        client.send(b"x")
                    daemon.expect_exit(1)
                self.assertIn("exactly one listening unix stream socket", daemon.stderr())


class Places(unittest.TestCase):
    """Where the daemon may listen."""

    def refused(self, daemon, *words):
        daemon.expect_exit(1)
        last = daemon.stderr().splitlines()[-1]
        for word in words:
            self.assertIn(word, last)

    def test_stale_socket_is_replaced(self):
        with Daemon(wait=False, before=lambda path: self.bound(path).close()) as daemon:
            daemon.notify.wait("READY=1", daemon.process)
            with daemon.client() as client:
                scenes.expect_inline_works(client)

    def bound(self, path):
        stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stale.bind(path)
        return stale

    def test_regular_file_is_refused(self):
        def write(path):
            with open(path, "w", encoding="ascii") as file:
                file.write("precious")

        with Daemon(wait=False, before=write) as daemon:
            self.refused(daemon, daemon.path, "not a socket")
            with open(daemon.path, encoding="ascii") as file:
                self.assertEqual(file.read(), "precious")

    def test_folder_is_refused(self):
        with Daemon(wait=False, before=os.mkdir) as daemon:
            self.refused(daemon, daemon.path, "not a socket")
            self.assertTrue(os.path.isdir(daemon.path))

    def test_link_is_refused(self):
        """Not followed, not removed, whatever it leads to."""
        with Daemon() as first:
            with Daemon(wait=False, before=lambda path: os.symlink(first.path, path)) as daemon:
                self.refused(daemon, daemon.path, "not a socket")
                self.assertTrue(os.path.islink(daemon.path))
            with first.client() as client:
                client.ping()

    def test_path_that_is_too_long(self):
        with Daemon(wait=False, path="/tmp/" + "x" * 104) as daemon:
            self.refused(daemon, "109 bytes", "107")

    def test_longest_path(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/".ljust(107, "s")
            with Daemon(path=path) as daemon, daemon.client() as client:
                client.ping()

    def test_folder_that_is_not_there(self):
        with Daemon(wait=False, path="/nonexistent-folder/sock") as daemon:
            self.refused(daemon, "/nonexistent-folder/sock", "No such file or directory")

    def test_second_daemon_on_the_same_path(self):
        with Daemon() as first, first.client() as client:
            for _ in range(2):
                with Daemon(wait=False, path=first.path) as second:
                    self.refused(second, "another npumatmuld serves", first.path)
                scenes.expect_inline_works(client)
                with first.client() as late:
                    scenes.expect_inline_works(late)

    def test_second_daemon_while_the_first_is_stopped(self):
        """It answers nobody, and is alive all the same."""
        with Daemon() as first, first.client() as client:
            os.kill(first.process.pid, signal.SIGSTOP)
            try:
                with Daemon(wait=False, path=first.path) as second:
                    self.refused(second, "another npumatmuld serves", first.path)
            finally:
                os.kill(first.process.pid, signal.SIGCONT)
            client.ping()

    def test_restart_after_kill(self):
        with Daemon() as first:
            client = first.client()
            job = ArenaJob(client, *ENDLESS, oracle=False)
            job.a.fill(7)
            job.submit()
            client.ping()
            first.process.kill()
            with self.assertRaises(wire.Closed):  # without BYE
                client.done(job.request_id)
            first.expect_exit(-signal.SIGKILL)
            self.assertTrue((job.a == 7).all(), "operands can be submitted again elsewhere")
            client.close()
            self.assertTrue(os.path.exists(first.path))
            with Daemon(path=first.path) as again:
                with again.client() as client:
                    scenes.expect_inline_works(client)

    def test_restart_after_stop(self):
        with Daemon() as first:
            first.stop()
            for _ in range(3):
                with Daemon(path=first.path) as again, again.client() as client:
                    scenes.expect_inline_works(client)


if __name__ == "__main__":
    harness.main()
