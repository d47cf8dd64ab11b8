# SPDX-License-Identifier: MIT
"""A daemon whose NPU is behind a worker process, and clients that see what becomes of their jobs.

Role:  products from several clients at once, each checked; what `status` says of the NPU; how long it took to be well
       again.
In:    the worker to test: NPUMM_TEST_WORKER, by default the stub.
Never: takes a job for granted: each must end once, exact, or where a test allows that, with DEVICE_ERROR.
"""
import json
import os
import threading
import time

import numpy

import harness
import scenes
import wire

WORKER = os.path.abspath(os.environ["NPUMM_TEST_WORKER"])


def daemon(env=None, **settings):
    """A daemon with backend xrt; settings on top of what makes faults short."""
    return harness.Daemon({"backend": "xrt", "npu-worker": WORKER, "npu-timeout-ms": 1000, "npu-retry-ms": 300,
                           "npu-check": "always", **{key.replace("_", "-"): value for key, value in settings.items()}},
                          env=env)


def npu(client):
    return json.loads(client.status())["npu"]


def wait_for_state(client, *states, seconds=harness.PATIENCE):
    """Until the NPU is in one of these states: all that status says of it."""
    def look():
        seen = npu(client)
        return seen if seen["state"] in states else None
    return harness.eventually(look, seconds, f"state {' or '.join(states)}")


class Crowd:
    """Clients at work, each on a thread and a connection of its own, one job after the other, until they are told to
    stop. Every product is compared; one in two clients has its B as weights."""

    def __init__(self, daemon_, n_clients=3, shape=(70, 130, 90), may_fail=False):
        self.may_fail = may_fail
        self.errors, self.exact, self.failed, self.longest_s = [], 0, 0, 0.0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(daemon_, shape, seed)) for seed in range(n_clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        for thread in self.threads:
            thread.join(harness.PATIENCE)
            assert not thread.is_alive(), "a client waits for its job for ever"
        assert not self.errors, self.errors
        assert exc[0] is not None or self.exact > 0 or self.may_fail

    def _one(self, job):
        begin = time.monotonic()
        job.submit()
        done, rows = job.client.done(job.request_id)
        if done.status == wire.OK:
            assert sum(got.rows[1] for got in rows) == job.shape[0], rows
            assert numpy.array_equal(job.c, job.wanted), "the product is not exact"
        else:
            assert self.may_fail and done.status == wire.DEVICE_ERROR, done
        with self.lock:
            self.longest_s = max(self.longest_s, time.monotonic() - begin)
            self.exact += done.status == wire.OK
            self.failed += done.status != wire.OK

    def _work(self, daemon_, shape, seed):
        try:
            with daemon_.client() as client:
                m, k, n = shape
                job = scenes.ArenaJob(client, m + seed, k, n + seed, seed=seed)
                if seed % 2:
                    job.load_b()
                while not self.ended.is_set():
                    self._one(job)
        except BaseException as error:  # whatever it is, the test is to fail of it
            with self.lock:
                self.errors.append(repr(error))

    def longest(self):
        """Seconds that a job took since this was asked for last, at most."""
        with self.lock:
            longest_s, self.longest_s = self.longest_s, 0.0
        return longest_s

    def expect_progress(self, more=10):
        """All go on: so many more products are right."""
        wanted = self.exact + more
        harness.eventually(lambda: self.exact >= wanted or self.errors, what=f"{more} more products")
        assert not self.errors, self.errors


def recover(client, what):
    """Waits until the NPU serves again after a fault; prints and returns the seconds that it took, by the daemon."""
    seen = wait_for_state(client, "ok")
    print(f"{what}: {seen['cause']}, served again after {seen['recovery_us'] / 1e3:.1f} ms", flush=True)
    return seen["recovery_us"] / 1e6
