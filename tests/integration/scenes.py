# SPDX-License-Identifier: MIT
"""Honest clients, and what must come of their work.

Role:  products and their oracle; the scene of most tests: a daemon, a bystander with a job in flight, a client that
       idles; and the judgement at its end. Clients in processes of their own, to be killed.
In:    settings for the daemon.
Never: shares code with the product: the oracle is NumPy in float64, which is exact for these sums.
"""
import contextlib
import json
import os
import signal
import traceback

import numpy

import harness
import wire

PAGE = os.sysconf("SC_PAGE_SIZE")


# ---- products ----

def product(a, b):
    """A . B in int32. float64 is exact here: every sum stays below 2^53."""
    return (a.astype(numpy.float64) @ b.astype(numpy.float64)).astype(numpy.int32)


def random_matrix(rng, rows, cols):
    return rng.integers(-128, 128, (rows, cols), dtype=numpy.int8)


class ArenaJob:
    """An int32 product whose operands lie in one arena, one behind the other."""

    POISON = -0x35014542  # what C holds before; no sum of these sizes reaches it

    def __init__(self, client, m, k, n, *, seed=1, oracle=True):
        """Without an oracle it is a job whose product nobody will look at; its operands are zeros."""
        rng = numpy.random.default_rng(seed)
        self.client, self.shape = client, (m, k, n)
        offsets = numpy.cumsum([0] + [-(-size // 4096) * 4096 for size in (m * k, k * n, m * n * 4)])
        self.arena = client.arena_create(int(offsets[3]))
        self.places = [self.arena.place(int(offset)) for offset in offsets[:3]]

        def matrix(index, dtype, rows, cols):
            return numpy.frombuffer(self.arena.map, dtype, rows * cols, int(offsets[index])).reshape(rows, cols)

        self.a, self.b = matrix(0, numpy.int8, m, k), matrix(1, numpy.int8, k, n)
        self.c = matrix(2, numpy.int32, m, n)
        self.request_id = self.a_kept = self.wanted = self.weights = None
        if oracle:
            self.a[:], self.b[:] = random_matrix(rng, m, k), random_matrix(rng, k, n)
            self.a_kept, self.wanted = self.a.copy(), product(self.a, self.b)

    def submit(self):
        if self.wanted is not None:
            self.c[:] = self.POISON
        a, b, c = self.places
        self.request_id = self.client.matmul(*self.shape, a, b if self.weights is None else None, c,
                                             weights=self.weights)
        return self.request_id

    def load_b(self):
        """From now on B is the daemon's copy of it, and what lies in the arena is nobody's."""
        self.weights = self.client.weights_load(*self.shape[1:], self.places[1]).handle
        self.b[:] = 99

    def expect_exact(self):
        rows = self.client.expect_done(self.request_id, wire.OK)
        reported = sorted(got.rows for got in rows)
        assert sum(count for _, count in reported) == self.shape[0], reported
        assert all(a[0] + a[1] == b[0] for a, b in zip(reported, reported[1:])), reported
        assert numpy.array_equal(self.c, self.wanted), "the product is not exact"


def inline_submit(client, a, b, **fields):
    """An inline job; returns its request id."""
    (m, k), n = a.shape, b.shape[1]
    return client.matmul(m, k, n, wire.Place(), wire.Place(offset=a.size), wire.Place(),
                         payload=a.tobytes() + b.tobytes(), **fields)


def inline_result(client, request_id, m, n):
    """C of an inline int32 job that must end with OK."""
    c = numpy.full((m, n), ArenaJob.POISON, numpy.int32)
    for got in client.expect_done(request_id, wire.OK):
        first, count = got.rows
        c[first:first + count] = numpy.frombuffer(got.payload, numpy.int32).reshape(count, n)
    return c


def expect_inline_works(client, seed=2):
    """The connection still does what connections are for."""
    rng = numpy.random.default_rng(seed)
    a, b = random_matrix(rng, 5, 70), random_matrix(rng, 70, 9)
    c = inline_result(client, inline_submit(client, a, b), 5, 9)
    assert numpy.array_equal(c, product(a, b)), "the product is not exact"


# ---- a daemon with honest clients on it ----

class Scene:
    """A daemon, a bystander with a job in flight, and a client that has said HELLO and idles."""

    BYSTANDER_SHAPE = (harness.scaled(384, by=16), 512, 512)

    def __init__(self, daemon):
        self.daemon = daemon
        self.bystander, self.idle = daemon.client(), daemon.client()
        self.offenders = []
        self.job = ArenaJob(self.bystander, *self.BYSTANDER_SHAPE)
        self.job.submit()
        self.job.expect_exact()  # its pages are there from now on
        self.baseline = self.take()
        self.in_flight()

    def take(self):
        """Everything that must be back as it was once an offender is gone."""
        now = self.status()
        return {**{key: now[key] for key in ("connections", "arenas", "arena_bytes", "weights", "weights_bytes",
                                           "jobs_inside", "queue_depth")},
                "fds": self.daemon.fd_count(), "arenas open, mapped, bytes in memory": self.daemon.arenas_held()}

    def status(self):
        return json.loads(self.bystander.status())

    def in_flight(self):
        """The bystander's job is with the daemon when this returns."""
        self.job.submit()
        self.bystander.ping()

    def stranger(self, **how):
        """A connection that has said nothing yet; closed at the end of the scene if not before."""
        self.offenders.append(self.daemon.connect(**how))
        return self.offenders[-1]

    def offender(self, **how):
        """The same, and it has said HELLO."""
        client = self.stranger(**how)
        client.hello()
        return client

    def close(self):
        for client in [self.bystander, self.idle, *self.offenders]:
            client.close()

    def bytes_in_memory(self):
        """Of all arenas, beyond what it was at the beginning."""
        return self.daemon.arenas_held()[2] - self.baseline["arenas open, mapped, bytes in memory"][2]

    def idle_cpu_seconds(self, seconds):
        """What the daemon burns in a time in which nobody wants anything."""
        self.bystander.ping()
        before = self.daemon.cpu_seconds()
        assert not self.bystander.readable(seconds)
        return self.daemon.cpu_seconds() - before

    def expect_baseline(self):
        def is_back():
            self.last = self.take()
            return self.last == self.baseline
        try:
            harness.eventually(is_back)
        except AssertionError:
            raise AssertionError(f"the daemon does not return to {self.baseline}; it is at {self.last}") from None

    def finish(self):
        """The bystander has lost nothing, and nothing of anybody else is left."""
        assert self.daemon.is_alive(), f"the daemon died with {self.daemon.process.returncode}"
        for client in self.offenders:
            client.close()
        self.job.expect_exact()
        self.job.submit()
        self.job.expect_exact()
        self.idle.expect_quiet()
        self.expect_baseline()  # what offenders held takes a moment to go, and counts until then
        expect_inline_works(self.idle)
        self.bystander.expect_quiet()
        self.expect_baseline()


@contextlib.contextmanager
def scene(nofile=harness.LIMITS_WIDE, **settings):
    """For the body of a test: offenders come and go inside, honest clients are judged at its end."""
    with harness.Daemon(settings, nofile=nofile) as daemon:
        with contextlib.closing(Scene(daemon)) as it:
            yield it
            it.finish()


# ---- what can be wrong in one place ----

class Table:
    """An arena with room for a 4x8 by 8x4 product, and a way to ask for something that is wrong in one place."""

    SHAPE = 4, 8, 4

    def __init__(self, client):
        self.client = client
        self.arena = client.arena_create(PAGE)
        self.a, self.b, self.c = (self.arena.place(offset) for offset in (0, 64, 128))

    def ask(self, *, m=4, k=8, n=4, a=None, b=None, c=None, payload=b"", **fields):
        return self.client.matmul(m, k, n, a or self.a, b or self.b, c or self.c, payload=payload, **fields)

    def refused(self, *words, status=wire.INVALID, **wrong):
        rows = self.client.expect_done(self.ask(**wrong), status, *words)
        assert not rows, "a refused job has no rows"

    def works(self, **fields):
        rng = numpy.random.default_rng(7)
        a, b = random_matrix(rng, 4, 8), random_matrix(rng, 8, 4)
        self.arena.map[0:32], self.arena.map[64:96] = a.tobytes(), b.tobytes()
        self.client.expect_done(self.ask(**fields), wire.OK)
        c = numpy.frombuffer(self.arena.map, numpy.int32, 16, self.c.offset).reshape(4, 4)
        assert numpy.array_equal(c, product(a, b))


@contextlib.contextmanager
def table():
    """A scene with one client that asks for the impossible, and whose connection survives it."""
    with scene() as it:
        client = it.offender()
        asks = Table(client)
        asks.works()
        yield asks
        asks.works()
        client.expect_quiet()


# ---- processes ----

@contextlib.contextmanager
def killed_client(work):
    """A process that does `work` and then waits, with what that has entered into its argument, an ExitStack, still
    open. It is killed with -9 when the block ends."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with contextlib.ExitStack() as stage:
                work(stage)
                os.write(writer, b"!")
                signal.pause()
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    try:
        said = os.read(reader, 1)
        assert said == b"!", "the client ended before its time"
        yield pid
        os.kill(pid, signal.SIGKILL)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
