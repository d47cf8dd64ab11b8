# SPDX-License-Identifier: MIT
"""Weights on a real daemon: one copy for all who load the same, products by handle, and what is left when their clients
go or are killed.

Memory is judged by what the daemon says of itself (weights, weights_bytes) and by what the system says of it.
"""
import contextlib
import itertools
import json
import os
import random
import secrets
import unittest

import numpy

import harness
import scenes
import wire
from harness import Daemon, eventually
from scenes import PAGE, killed_client, random_matrix, scene
from wire import Place

SEED = int(os.environ.get("NPUMM_TEST_SEED", "0"), 0) or secrets.randbits(32)
FORMS = list(itertools.product((False, True), (False, True)))  # (in an arena?, transposed?)
LARGE = harness.scaled(256 << 20)  # bytes of a matrix that takes a while to load


def whole_pages(size):
    return -(-size // PAGE) * PAGE


def status(client):
    return json.loads(client.status())


def load(client, b, in_arena=False, transposed=False, gap=0):
    """Loads B in one of its forms, `gap` bytes between its rows. An arena is scribbled on when the answer is there."""
    stored = b.T if transposed else b
    rows, cols = stored.shape
    spread = numpy.full((rows, cols + gap), 0x55, numpy.int8)
    spread[:, :cols] = stored
    if not in_arena:
        return client.weights_load(*b.shape, Place(ld=cols + gap), transposed=transposed, payload=spread.tobytes())
    arena = client.arena_create(spread.size)
    arena.map[:spread.size] = spread.tobytes()
    loaded = client.weights_load(*b.shape, arena.place(ld=cols + gap), transposed=transposed)
    arena.map[:spread.size] = b"\xaa" * spread.size
    client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))
    return loaded


def submit(client, a, handle, n, **fields):
    return client.matmul(*a.shape, n, weights=handle, payload=a.tobytes(), **fields)


def expect_product(client, a, handle, b):
    n = b.shape[1]
    c = scenes.inline_result(client, submit(client, a, handle, n), a.shape[0], n)
    assert numpy.array_equal(c, scenes.product(a, b)), "the product is not exact"


def expect_no_such(client, handle, shape=(70, 90)):
    """For a job and for a release alike."""
    a = numpy.zeros((1, shape[0]), numpy.int8)
    client.expect_done(submit(client, a, handle, shape[1]), wire.NOT_FOUND, "are not among this connection's")
    client.expect_error(client.weights_release(handle), wire.NOT_FOUND, str(handle))


class Test(unittest.TestCase):
    def setUp(self):
        self.rng = numpy.random.default_rng(SEED)


class Sharing(Test):
    COUNT = 10

    def test_ten_processes(self):
        """They load equal weights in every form, and all of them compute by the one copy; killed, they leave none."""
        b = random_matrix(self.rng, 512, 500)
        with scene(weights_kept_bytes=0) as it:
            def work(number):
                def run(stage):
                    client = stage.enter_context(it.daemon.client())
                    rng = numpy.random.default_rng(number)
                    loaded = load(client, b, *FORMS[number % len(FORMS)], gap=number)
                    for m in (1, 7, 64):
                        expect_product(client, random_matrix(rng, m, 512), loaded.handle, b)
                return run

            with contextlib.ExitStack() as stack:
                for number in range(self.COUNT):
                    stack.enter_context(killed_client(work(number)))
                eventually(lambda: it.status()["arenas"] == it.baseline["arenas"], what="the end of what was staged")
                now = it.status()
                self.assertEqual(now["weights"], 1)
                self.assertEqual(now["weights_bytes"], whole_pages(b.size))
                self.assertEqual((now["loads"], now["loads_shared"]), (self.COUNT, self.COUNT - 1))
            it.expect_baseline()

    def test_ten_at_once(self):
        """All loads are on the way at the same time."""
        b = random_matrix(self.rng, 300, 333)
        with scene(weights_kept_bytes=0) as it:
            clients = [it.offender() for _ in range(self.COUNT)]
            sent = [client.weights_send(300, 333, Place(), payload=b.tobytes()) for client in clients]
            loaded = [client.weights_claim(request) for client, request in zip(clients, sent)]
            self.assertEqual(sorted(one.charged_bytes for one in loaded),
                             [0] * (self.COUNT - 1) + [whole_pages(b.size)])
            self.assertEqual([one.shared for one in loaded], [one.charged_bytes == 0 for one in loaded])
            self.assertEqual(len({one.handle for one in loaded}), self.COUNT)
            now = it.status()
            self.assertEqual((now["weights"], now["weights_bytes"]), (1, whole_pages(b.size)))
            for client, one in zip(clients, loaded):
                expect_product(client, random_matrix(self.rng, 3, 300), one.handle, b)
                client.close()  # those that are left are none the worse for it
            it.expect_baseline()

    @unittest.skipUnless(os.geteuid() == 0, "only root can connect as another user")
    def test_users_share_nothing(self):
        b = random_matrix(self.rng, 70, 90)
        with scene(weights_kept_bytes=0) as it:
            os.chmod(it.daemon.folder, 0o755)
            os.chmod(it.daemon.path, 0o666)
            mine, theirs = it.offender(), it.offender(uid=65534)
            first, second = load(mine, b), load(theirs, b)
            self.assertFalse(second.shared)
            self.assertEqual(it.status()["weights"], 2)
            expect_no_such(theirs, first.handle)
            expect_product(theirs, random_matrix(self.rng, 3, 70), second.handle, b)


class Handles(Test):
    def test_whose_they_are(self):
        """Another connection's, a released one and one that never was look all the same."""
        b = random_matrix(self.rng, 70, 90)
        with scene(weights_kept_bytes=0) as it:
            one, other = it.offender(), it.offender()
            mine, theirs = load(one, b), load(other, b)
            expect_no_such(one, theirs.handle)
            expect_no_such(other, mine.handle)
            expect_no_such(one, 1)
            one.expect(wire.WEIGHTS_RELEASED, one.weights_release(mine.handle))
            expect_no_such(one, mine.handle)
            expect_product(other, random_matrix(self.rng, 3, 70), theirs.handle, b)
            other.close()
            it.offenders.append(it.daemon.client())
            expect_no_such(it.offenders[-1], theirs.handle)  # nor does a handle outlive its connection
            self.assertEqual(it.status()["weights"], 0)

    def test_order_of_requests(self):
        """A job before the release finds the weights, one behind it does not, however long the first one takes."""
        b = random_matrix(self.rng, 512, 512)
        a = random_matrix(self.rng, harness.scaled(4096, by=32), 512)
        with scene(weights_kept_bytes=0) as it:
            client = it.offender()
            loaded = load(client, b)
            before = submit(client, a, loaded.handle, 512)
            release = client.weights_release(loaded.handle)
            behind = submit(client, a[:1], loaded.handle, 512)
            client.expect_done(behind, wire.NOT_FOUND)
            client.expect(wire.WEIGHTS_RELEASED, release)
            c = scenes.inline_result(client, before, a.shape[0], 512)
            self.assertTrue(numpy.array_equal(c, scenes.product(a, b)))
            eventually(lambda: it.status()["weights"] == 0, what="the end of the weights")

    def test_shape(self):
        with scene(weights_kept_bytes=0) as it:
            client = it.offender()
            loaded = load(client, random_matrix(self.rng, 70, 90))
            for k, n in ((71, 90), (70, 89), (90, 70)):
                a = numpy.zeros((2, k), numpy.int8)
                client.expect_done(submit(client, a, loaded.handle, n), wire.INVALID, f"{k} x {n}", "70 x 90")
            client.expect_done(submit(client, numpy.zeros((2, 70), numpy.int8), loaded.handle, 90, transposed=True),
                               wire.INVALID, "b_transposed")


class Products(Test):
    SHAPES = ((1, 1, 1), (1, 512, 512), (5, 70, 90), (17, 16, 257), (64, 1000, 3), (harness.scaled(500), 512, 512))

    def test_exact(self):
        with scene(weights_kept_bytes=0) as it:
            client = it.offender()
            for (m, k, n), (in_arena, transposed) in itertools.product(self.SHAPES, FORMS):
                with self.subTest(m=m, k=k, n=n, in_arena=in_arena, transposed=transposed):
                    b = random_matrix(self.rng, k, n)
                    loaded = load(client, b, in_arena, transposed, gap=5)
                    expect_product(client, random_matrix(self.rng, m, k), loaded.handle, b)
                    client.expect(wire.WEIGHTS_RELEASED, client.weights_release(loaded.handle))

    def test_as_with_an_operand(self):
        """Every output form has the same bits, whether B stays or comes with the job."""
        m, k, n = 33, 96, 80
        a, b = random_matrix(self.rng, m, k), random_matrix(self.rng, k, n)
        scale = self.rng.random(n, numpy.float32)
        forms = ({"output": wire.INT32}, {"output": wire.INT8, "shift": 7, "rounding": wire.NEAREST_EVEN},
                 {"output": wire.TILE16_SHIFT7},
                 {"output": wire.FLOAT32, "col_scale": Place(offset=m * k), "bias": Place(offset=m * k)})
        with scene(weights_kept_bytes=0) as it:
            client = it.offender()
            loaded = load(client, b)
            for fields in forms:
                with self.subTest(**fields):
                    vectors = scale.tobytes() if "bias" in fields else b""
                    got = []
                    for how, payload in (({"weights": loaded.handle}, a.tobytes() + vectors),
                                         ({}, a.tobytes() + vectors + b.tobytes())):
                        request = client.matmul(m, k, n, Place(), Place(offset=m * k + len(vectors)), Place(),
                                                payload=payload, **how, **fields)
                        got.append(b"".join(rows.payload for rows in client.expect_done(request, wire.OK)))
                    self.assertGreater(len(got[0]), 0)
                    self.assertEqual(*got)

    def test_anything_in_any_order(self):
        """A few clients load, multiply and release at random, under limits that some of it runs into."""
        dice = random.Random(SEED)
        matrices = [random_matrix(self.rng, int(k), int(n)) for k, n in self.rng.integers(1, 300, (8, 2))]
        largest = max(whole_pages(b.size) for b in matrices)
        with Daemon({"bytes-per-uid": 1 << 20, "weights-kept-bytes": 2 * largest, "weights-per-uid": 24}) as daemon, \
                contextlib.ExitStack() as stack:
            clients = [(stack.enter_context(daemon.client()), []) for _ in range(4)]
            done = {"loaded": 0, "refused": 0, "multiplied": 0, "released": 0}
            for _ in range(600):
                client, held = dice.choice(clients)
                what = dice.randrange(4)
                if what == 0 and held:
                    handle, _ = held.pop(dice.randrange(len(held)))
                    client.expect(wire.WEIGHTS_RELEASED, client.weights_release(handle))
                    done["released"] += 1
                elif what == 1 and held:
                    handle, b = dice.choice(held)
                    expect_product(client, random_matrix(self.rng, dice.randrange(1, 9), b.shape[0]), handle, b)
                    done["multiplied"] += 1
                elif what > 1:
                    b = dice.choice(matrices)
                    got = client.reply_to(client.weights_send(*b.shape, Place(), payload=b.tobytes()))
                    if got.kind == wire.WEIGHTS_LOADED:
                        held.append((got.fields[1], b))
                        done["loaded"] += 1
                    else:
                        self.assertEqual((got.kind, got.status), (wire.ERROR, wire.BUSY), got)
                        done["refused"] += 1
            self.assertTrue(all(count > 10 for count in done.values()), done)
            self.assertLessEqual(status(clients[0][0])["weights"], len(matrices))


class Limits(Test):
    def test_bytes(self):
        """BUSY names the limit; what was loaded before is as it was."""
        size = 64 * PAGE
        with scene(weights_kept_bytes=0, bytes_per_uid="4M") as it:
            client = it.offender()
            loaded, b = [], []
            while True:
                b.append(random_matrix(self.rng, 64, PAGE))
                got = client.reply_to(client.weights_send(64, PAGE, Place(), payload=b[-1].tobytes()))
                if got.kind != wire.WEIGHTS_LOADED:
                    break
                loaded.append(got.fields[1])
            self.assertEqual((got.kind, got.status), (wire.ERROR, wire.BUSY), got)
            self.assertIn("bytes-per-uid", got.text)
            self.assertGreater(len(loaded), 1)
            for handle, matrix in zip(loaded, b):
                expect_product(client, random_matrix(self.rng, 1, 64), handle, matrix)
            self.assertEqual(it.status()["weights_bytes"], len(loaded) * size)

    def test_kept_weights_make_room(self):
        """They are never the reason for a BUSY, neither of weights nor of an arena."""
        size = 1 << 20
        with scene(weights_kept_bytes="1G", bytes_per_uid="16M") as it:
            client = it.offender()
            for _ in range(40):  # more than there is room for
                b = random_matrix(self.rng, 256, size // 256)
                client.expect(wire.WEIGHTS_RELEASED, client.weights_release(load(client, b).handle))
            now = it.status()
            self.assertGreater(now["weights_kept"], 2)
            self.assertEqual(now["weights_kept"], now["weights"])
            self.assertTrue(load(client, b).shared)
            arena = client.arena_create((16 << 20) - it.baseline["arena_bytes"] - size)
            now = it.status()
            self.assertEqual((now["weights"], now["weights_kept"]), (1, 0))
            client.expect(wire.ARENA_RELEASED, client.arena_release(arena.handle))
            client.close()
            eventually(lambda: it.status()["weights_kept"] == 1, what="one copy that is kept")
            # It is the only thing that the scene's end would miss in its baseline: others need the room.
            taker = it.offender()
            taker.arena_create((16 << 20) - it.baseline["arena_bytes"])

    def test_number(self):
        with scene(weights_kept_bytes=0, weights_per_uid=6) as it:
            client = it.offender()
            handles = [load(client, random_matrix(self.rng, 5, 5)).handle for _ in range(3)]
            request = client.weights_send(5, 5, Place(), payload=bytes(25))
            client.expect_error(request, wire.BUSY, "weights-per-uid", "6")
            client.expect(wire.WEIGHTS_RELEASED, client.weights_release(handles[0]))
            load(client, random_matrix(self.rng, 5, 5))


class Ends(Test):
    def test_killed_in_mid_payload(self):
        size = 16 << 20
        with scene(weights_kept_bytes=0) as it:
            for transposed in (False, True):  # into the copy itself, and staged
                def work(stage):
                    client = stage.enter_context(it.daemon.client())
                    control = wire.weights_control(4096, size // 4096, Place(), transposed=transposed)
                    client.send(wire.WEIGHTS_LOAD, control, payload_bytes=size)
                    client.send_raw(b"\x01" * (size // 2))

                with killed_client(work):
                    eventually(lambda: it.status()["weights_bytes"] == size, what="an upload on its way")
                it.expect_baseline()

    def test_killed_in_mid_load(self):
        """The daemon is copying and hashing when its client dies: it stops doing so, and gives all back."""
        with scene(weights_kept_bytes=0) as it:
            def work(stage):
                client = stage.enter_context(it.daemon.client())
                arena = client.arena_create(LARGE)
                for transposed in (False, True, False):
                    client.weights_send(16384, LARGE // 16384, arena.place(), transposed=transposed)

            with killed_client(work):
                eventually(lambda: it.status()["weights_bytes"] > 0, what="loads on their way")
            it.expect_baseline()
            self.assertEqual(it.status()["weights"], 0)

    def test_others_are_served_during_a_load(self):
        with scene(weights_kept_bytes=0) as it:
            client = it.offender()
            arena = client.arena_create(LARGE)
            request = client.weights_send(16384, LARGE // 16384, arena.place())
            scenes.expect_inline_works(client)
            self.assertFalse([got for got in client.inbox if got.request_id == request],
                             "the load was done before a small job that came behind it")
            client.weights_claim(request)

    def test_stopping(self):
        """SIGTERM in the middle of everything: the daemon ends well, and nothing is loaded any more."""
        b = random_matrix(self.rng, 1024, 1024)
        a = random_matrix(self.rng, harness.scaled(16384, by=64), 1024)
        with Daemon() as daemon, daemon.client() as client, daemon.client() as other:
            loaded, kept = load(client, b), load(other, random_matrix(self.rng, 70, 90))
            other.expect(wire.WEIGHTS_RELEASED, other.weights_release(kept.handle))
            arena = other.arena_create(LARGE)
            request = submit(client, a, loaded.handle, 1024)
            client.ping()
            other.weights_send(16384, LARGE // 16384, arena.place())
            other.ping()
            daemon.terminate()
            daemon.notify.wait("STOPPING=1", daemon.process)
            late = client.weights_send(1, 1, Place(), payload=b"\x01")
            got = client.receive()
            while got.request_id == request:
                got = client.receive()
            if got.kind != wire.BYE:  # else the job was done before that was read
                self.assertEqual((got.kind, got.request_id, got.status), (wire.ERROR, late, wire.BUSY), got)
            daemon.expect_exit(0)


if __name__ == "__main__":
    print(f"NPUMM_TEST_SEED={SEED:#x} repeats this run", flush=True)
    harness.main()
