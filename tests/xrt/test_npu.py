# SPDX-License-Identifier: MIT
"""Daemon, worker, the distribution's XRT and its NPU library, on an emulated NPU: what is real, that products are
exact, and what a product costs in commands, transfers and copies.

The oracle is NumPy in float64, exact for these sums. EMULATION: no time here says anything about an NPU.
"""
import json
import os
import pathlib
import resource
import secrets
import shutil
import subprocess
import threading
import time
import unittest

import numpy

import emulated
import harness
import scenes
import test_products
import wire
import workers

SEED = int(os.environ.get("NPUMM_TEST_SEED", "0"), 0) or secrets.randbits(32)
CLIENT = os.path.abspath(os.environ["NPUMM_CLIENT"])
BATCHES = harness.scaled(500, by=20)


def daemon_on(npu, env=None, **settings):
    settings = {key.replace("_", "-"): value for key, value in settings.items()}
    return harness.Daemon({**emulated.SETTINGS, **settings}, env={**npu.daemon_env(), **(env or {})})


def worker_of(daemon):
    """Its only child."""
    children = pathlib.Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def setUpModule():
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if os.geteuid() != 0 and soft != resource.RLIM_INFINITY and soft < 64 << 20:
        raise unittest.SkipTest(f"the NPU's driver locks 64 MiB, and RLIMIT_MEMLOCK is {soft} bytes")


class Real(unittest.TestCase):
    @unittest.skipUnless(shutil.which("dpkg"), "there is no dpkg to ask")
    def test_what_is_mapped_is_the_distribution_s(self):
        with emulated.Npu() as npu, daemon_on(npu) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            mapped = set(pathlib.Path(f"/proc/{worker_of(daemon)}/maps").read_text().split())
            for name, package in (("libxrt_driver_xdna.so.2", "libxrt-npu2"), ("libxrt_core.so.2", "libxrt2"),
                                  ("libxrt_coreutil.so.2", "libxrt2")):
                paths = [path for path in mapped if os.path.basename(path).startswith(name)]
                self.assertEqual(len(paths), 1, (name, paths))
                link = os.path.join(os.path.dirname(paths[0]), name)
                owner = subprocess.run(["dpkg", "-S", link], capture_output=True, text=True, check=True).stdout
                self.assertEqual(owner.split(":")[0], package)
                print(f"{name}: {paths[0]}, of {package}")
            # As the packages have them, but for what nobody runs: not one byte is another.
            check = subprocess.run(["dpkg", "--verify", "libxrt-npu2", "libxrt2"], capture_output=True, text=True,
                                   check=False)
            changed = [line for line in check.stdout.splitlines() if "/usr/share/" not in line]
            self.assertEqual((check.returncode, changed), (0, []))

    def test_what_status_says_of_it(self):
        with emulated.Npu() as npu, daemon_on(npu) as daemon, daemon.client() as client:
            seen = workers.wait_for_state(client, "ok")
            print(seen)
            self.assertEqual((seen["hardware"], seen["power_mode"], seen["firmware"]),
                             ("RyzenAI-npu1 0000:c5:00.1", "default", "1.5.5.391"))
            self.assertGreater(seen["clock_mhz"], 0)
            self.assertIn("emulated", seen["driver"])

    @unittest.skipUnless(shutil.which("xrt-smi"), "there is no xrt-smi")
    def test_xrt_smi_lists_the_emulated_npu(self):
        with emulated.Npu() as npu:
            examine = subprocess.run(["xrt-smi", "examine"], capture_output=True, text=True, check=False,
                                     env={**os.environ, **npu.daemon_env()})
            self.assertEqual(examine.returncode, 0, examine.stdout + examine.stderr)
            self.assertRegex(examine.stdout, r"0000:c5:00\.1.*RyzenAI-npu1")


class Job:
    """A product by inline operands or weights, in one of two forms."""

    def __init__(self, client, rng, weights):
        self.client = client
        self.weights = weights[int(rng.integers(len(weights)))] if weights and rng.integers(3) else None
        k, n = self.weights[1].shape if self.weights else rng.integers(1, 300, 2)
        self.a = scenes.random_matrix(rng, int(rng.choice([1, 4, 60, 256, 300])), int(k))
        self.b = self.weights[1] if self.weights else scenes.random_matrix(rng, int(k), int(n))
        self.shift = int(rng.integers(0, 12)) if rng.integers(2) else None

    def submit(self, more):
        output = {} if self.shift is None else {"output": wire.INT8, "shift": self.shift}
        by_name = {"weights": self.weights[0]} if self.weights else {}
        b = None if self.weights else wire.Place(offset=self.a.size)
        payload = self.a.tobytes() + (b"" if self.weights else self.b.tobytes())
        self.request_id = self.client.matmul(self.a.shape[0], *self.b.shape, wire.Place(), b, wire.Place(),
                                             payload=payload, more=more, **output, **by_name)

    def expect_exact(self):
        wanted = scenes.product(self.a, self.b)
        if self.shift is not None:
            wanted = numpy.clip(wanted >> self.shift, -128, 127).astype(numpy.int8)
        found = numpy.full(wanted.shape, 99, wanted.dtype)
        for got in self.client.expect_done(self.request_id, wire.OK):
            first, count = got.rows
            found[first:first + count] = numpy.frombuffer(got.payload, wanted.dtype).reshape(count, -1)
        assert numpy.array_equal(found, wanted), f"{self.a.shape} @ {self.b.shape} is not exact"


class Products(unittest.TestCase):
    def client_works(self, daemon, seed, is_enough, errors):
        try:
            rng = numpy.random.default_rng([SEED, seed])
            with daemon.client() as client:
                weights = []
                for k, n in ((512, 512), (64, 300), (513, 40), (1, 257)):
                    b = scenes.random_matrix(numpy.random.default_rng(k), k, n)  # the same in all clients
                    handle = client.weights_load(k, n, wire.Place(), payload=b.tobytes()).handle
                    weights.append((handle, b))
                while not is_enough():
                    jobs = [Job(client, rng, weights) for _ in range(int(rng.integers(1, 6)))]
                    for job in jobs:
                        job.submit(more=job is not jobs[-1])
                    for job in jobs:
                        job.expect_exact()
        except BaseException as error:  # whatever it is, the test is to fail of it
            errors.append(repr(error))

    def test_random_mixed_batches_of_four_clients(self):
        print(f"NPUMM_TEST_SEED={SEED}", flush=True)
        with emulated.Npu(seed=SEED) as npu:
            with daemon_on(npu) as daemon, daemon.client() as client:
                workers.wait_for_state(client, "ok")
                errors = []

                watchers = [daemon.client() for _ in range(4)]  # a thread has its own

                def enough(watcher):
                    return lambda: errors or json.loads(watcher.status())["submissions"] >= BATCHES
                threads = [threading.Thread(target=self.client_works, args=(daemon, seed, enough(watcher), errors))
                           for seed, watcher in enumerate(watchers)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                for watcher in watchers:
                    watcher.close()
                self.assertEqual(errors, [])
                seen = json.loads(client.status())
                print(f"{seen['submissions']} batches, {seen['jobs_ok']} jobs, {seen['npu']['commands']} commands, "
                      f"{seen['jobs_per_submission']:.2f} jobs a batch, {seen['npu']['checks']} products checked",
                      flush=True)
                self.assertGreaterEqual(seen["submissions"], BATCHES)
                self.assertEqual((seen["npu"]["faults"], seen["npu"]["cpu_batches"]), (0, 0))
                self.assertGreater(seen["jobs_per_submission"], 1.2)
            npu.check_log()


    def test_jobs_of_the_same_weights_without_stacking(self):
        with emulated.Npu() as npu, daemon_on(npu) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            client.expect(wire.SET_DONE, client.set("stacking", "off"))
            rng = numpy.random.default_rng(SEED)
            b = scenes.random_matrix(rng, 130, 300)
            handle = client.weights_load(130, 300, wire.Place(), payload=b.tobytes()).handle
            jobs = [Job(client, rng, [(handle, b)]) for _ in range(8)]
            for job in jobs:
                job.submit(more=job is not jobs[-1])
            for job in jobs:
                job.expect_exact()
            seen = json.loads(client.status())
            self.assertEqual((seen["npu"]["faults"], seen["npu"]["cpu_batches"]), (0, 0))
            self.assertGreater(seen["stacks"], seen["submissions"])

    def test_the_worker_s_own_form_beside_others(self):
        """tile16-shift7 is computed by the worker's CPU kernel, a little at a time: nobody waits long for it."""
        rng = numpy.random.default_rng(SEED)
        a, b = scenes.random_matrix(rng, harness.scaled(256), 20000), scenes.random_matrix(rng, 20000, 300)
        with emulated.Npu() as npu, daemon_on(npu, batch_bound_us=10000) as daemon, daemon.client() as client, \
                daemon.client() as other:
            workers.wait_for_state(client, "ok")
            long = client.matmul(*a.shape, 300, wire.Place(), wire.Place(offset=a.size), wire.Place(),
                                 payload=a.tobytes() + b.tobytes(), output=wire.TILE16_SHIFT7)
            begin = time.monotonic()
            scenes.expect_inline_works(other)
            seconds = time.monotonic() - begin
            rows = client.expect_done(long, wire.OK)
            took = time.monotonic() - begin
            print(f"a small job beside {took:.2f} s of tile16-shift7: {seconds:.3f} s", flush=True)
            self.assertEqual(sum(got.rows[1] for got in rows), a.shape[0])
            if harness.TIMED:
                self.assertLess(seconds, took / 2)
            self.assertEqual(workers.npu(client)["faults"], 0)


    def test_the_worker_s_own_form_of_long_rows(self):
        """Of which one is more than the worker computes at a time."""
        rng = numpy.random.default_rng(SEED)
        k = harness.scaled(131071)
        for transposed in (False, True):
            a, b = scenes.random_matrix(rng, 3, k), scenes.random_matrix(rng, k, 1200)
            stored = numpy.ascontiguousarray(b.T) if transposed else b
            with emulated.Npu() as npu, daemon_on(npu, inline_bytes="256M") as daemon, daemon.client() as client:
                workers.wait_for_state(client, "ok")
                job = client.matmul(3, k, 1200, wire.Place(), wire.Place(offset=a.size), wire.Place(),
                                    payload=a.tobytes() + stored.tobytes(), output=wire.TILE16_SHIFT7,
                                    transposed=transposed)
                found = numpy.full((3, 1200), 99, numpy.int8)
                for got in client.expect_done(job, wire.OK):
                    first, count = got.rows
                    found[first:first + count] = numpy.frombuffer(got.payload, numpy.int8).reshape(count, -1)
                self.assertTrue(numpy.array_equal(found, test_products.tile16_form(a, b)))
                self.assertEqual(workers.npu(client)["cpu_batches"], 0)


class Costs(unittest.TestCase):
    def test_one_product_with_resident_weights(self):
        rng = numpy.random.default_rng(SEED)
        a, b = scenes.random_matrix(rng, 500, 512), scenes.random_matrix(rng, 512, 512)
        with emulated.Npu() as npu, daemon_on(npu) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            weights = client.weights_load(512, 512, wire.Place(), payload=b.tobytes()).handle

            def run():
                before, commands = json.loads(client.status()), npu.commands()
                job = client.matmul(500, 512, 512, wire.Place(), None, wire.Place(), payload=a.tobytes(),
                                    weights=weights)
                self.assertTrue(numpy.array_equal(scenes.inline_result(client, job, 500, 512), scenes.product(a, b)))
                after = json.loads(client.status())
                return {"EXEC_CMD": npu.commands() - commands,
                        **{key: after[key] - before[key] for key in ("buffer_syncs", "matrix_copies", "weights_packs")},
                        **{key: after["npu"][key] - before["npu"][key] for key in ("commands", "control_syncs")}}
            first, second = run(), run()
            print(f"500x512 @ 512x512, resident: the first time {first}, then {second}")
            self.assertEqual(first, {"EXEC_CMD": 1, "buffer_syncs": 2, "matrix_copies": 2, "weights_packs": 1,
                                     "commands": 1, "control_syncs": 2})
            # The stream is there already: only the marks are transferred.
            self.assertEqual(second, {**first, "weights_packs": 0, "control_syncs": 1})

    def test_four_clients_share_commands(self):
        """Synchronous clients. What a submission costs is given: the emulation's own cost is near none."""
        with emulated.Npu() as npu, daemon_on(npu, submission_us=200000, npu_check="off") as daemon, \
                daemon.client() as client:
            workers.wait_for_state(client, "ok")
            found = {}
            for policy in ("hold", "natural"):
                client.expect(wire.SET_DONE, client.set("policy", policy))
                before, commands = json.loads(client.status()), npu.commands()
                run = subprocess.run([CLIENT, f"--socket={daemon.path}", "bench", "--scenario=single", "--clients=4",
                                      "--shape=256,64,256", "--seconds=4", "--warmup=2"],
                                     stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                self.assertEqual(run.returncode, 0, run)
                found[policy] = (json.loads(client.status())["jobs_ok"] - before["jobs_ok"]) / \
                    (npu.commands() - commands)
                print(f"policy {policy}, submission-us given: {found[policy]:.2f} jobs an EXEC_CMD, warmup included",
                      flush=True)
            self.assertGreater(found["hold"], 3.6)
            self.assertLess(found["natural"], 3)


class Refused(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_memlock(self):
        """An ordinary user whose limit is the default: one line says what, how much, and what to do. One who may read
        everything, as a build may be below a folder of root's; that has no say in locking memory."""
        command = ("prlimit", "--memlock=8388608:8388608",
                   "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                   "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--")

        def let_in(path):
            folder = pathlib.Path(path).parent
            folder.chmod(0o777)
            (folder / "notify").chmod(0o777)
        with emulated.Npu() as npu, harness.Daemon(emulated.SETTINGS, env=npu.daemon_env(), command=command,
                                                   before=let_in) as daemon, daemon.client() as client:
            daemon.preface = ("",)  # XRT says something, too
            seen = workers.wait_for_state(client, "failed")
            self.assertEqual(seen["cause"], "memlock")
            scenes.expect_inline_works(client)
            self.assertEqual(workers.npu(client)["cpu_batches"], 1)
            lines = [line for line in daemon.stderr().splitlines()
                     if line.startswith("npumatmuld: ") and "RLIMIT_MEMLOCK" in line]
            print("\n".join(lines))
            self.assertEqual(len(lines), 1)
            for words in ("8388608", "67108864", "LimitMEMLOCK=infinity", "the CPU serves"):
                self.assertIn(words, lines[0])


class Coherence(unittest.TestCase):
    """The device reads and writes memory of its own, moved by SYNC_BO alone."""

    def test_all_that_moves_is_moved(self):
        with emulated.Npu(strict=True) as npu, \
                daemon_on(npu, npu_worker=npu.strict_worker(emulated.WORKER)) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            for seed in range(5):
                scenes.expect_inline_works(client, seed)
            seen = workers.npu(client)
            self.assertEqual((seen["faults"], seen["cpu_batches"]), (0, 0))
            self.assertGreater(len(npu.lines("SYNC_BO")), 10)

    def test_one_transfer_less_is_noticed(self):
        """A worker of which one kind of transfer was taken away never passes its self-test; the CPU serves. But for
        that of the marks: its want shows where a cache writes old lines back over results, which no emulation has."""
        for kind in ("a", "b", "c-in", "weights", "instructions"):
            with self.subTest(kind), emulated.Npu(strict=True, tdr_ms=300) as npu:
                worker = npu.strict_worker(os.environ["NPUMM_UNSYNCED_WORKER"])
                with daemon_on(npu, {"UNSYNCED": kind}, npu_worker=worker) as daemon, daemon.client() as client:
                    daemon.preface = ("",)
                    seen = workers.wait_for_state(client, "degraded")
                    self.assertIn(seen["cause"], ("wrong", "timeout", "abort", "hung"))
                    print(f"no transfer of {kind}: {seen['cause']}: {seen['reason']}", flush=True)
                    scenes.expect_inline_works(client)
                    self.assertEqual(workers.npu(client)["commands"], 0)


if __name__ == "__main__":
    harness.main()
