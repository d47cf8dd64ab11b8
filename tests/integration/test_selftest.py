# SPDX-License-Identifier: MIT
"""npumm-client selftest: it tells exact products from others, and an NPU that computed them from a CPU that stood in.

The NPU is a stub of its worker, tests/fake/stub-worker.c. Wrong products, which no daemon is to be had for, are those
of tests/unit/test-selftest-item.c.
"""
import os
import re
import subprocess
import unittest

import harness
import workers
from test_worker import Script

CLIENT = os.path.abspath(os.environ["NPUMM_CLIENT"])
EXACT = re.compile(r"^.*, (int32|int8|float32)\b.*: exact, [0-9.]+ ms$")
N_ITEMS = 18


def daemon_on(script):
    """A stub takes its time where it is sanitized, and answers nobody meanwhile."""
    return workers.daemon(env=script.env, npu_timeout_ms=60000, npu_retry_ms=60000)


class Selftest(unittest.TestCase):
    def selftest(self, daemon, code, *options, says=""):
        """Its lines but the verdict, the verdict and what follows; its one line on stderr says `says`."""
        run = subprocess.run([CLIENT, f"--socket={daemon.path}", "selftest", *options], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, code, run)
        self.assertEqual(run.stderr.count("\n"), 0 if code == 0 else 1, run.stderr)
        self.assertIn(says, run.stderr)
        lines = run.stdout.splitlines()
        return lines[:N_ITEMS], lines[N_ITEMS:]

    def exact(self, daemon, code, *options, n_products=99, **how):
        """All products are exact, whatever the device: the lines from the verdict on."""
        items, rest = self.selftest(daemon, code, *options, **how)
        self.assertEqual(len(items), N_ITEMS, items)
        for line in items:
            self.assertRegex(line, EXACT)
        self.assertTrue(rest[0].startswith(f"all {n_products} products are exact; "), rest)
        return rest

    # -- a device, as it should be --

    def test_cpu(self):
        with harness.Daemon({"backend": "cpu"}) as daemon:
            rest = self.exact(daemon, 0)
            self.assertEqual(len(rest), 1, rest)
            self.assertIn("backend cpu, device ok: ", rest[0])

    def test_an_npu(self):
        with Script() as script, daemon_on(script) as daemon, daemon.client() as client:
            rest = self.exact(daemon, 0)
            self.assertEqual(rest, ["all 99 products are exact; backend xrt, device ok: a stub, driver 0"])
            self.assertEqual(workers.npu(client)["cpu_batches"], 0)

    def test_an_npu_that_is_still_being_opened(self):
        with Script("late") as script, daemon_on(script) as daemon, daemon.client() as client:
            self.exact(daemon, 0)
            self.assertEqual(workers.npu(client)["cpu_batches"], 0)

    def test_it_takes_what_the_daemon_allows(self):
        with harness.Daemon({"backend": "cpu", "jobs-per-connection": 3}) as daemon:
            self.exact(daemon, 0, n_products=15 + 3 * 3)

    # -- an NPU that did not do it --

    def test_an_npu_that_failed(self):
        with Script("fail=1") as script, daemon_on(script) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "failed")
            why = "the CPU computed what the NPU was to: too little memory may be locked: by the script; set Limit"
            rest = self.exact(daemon, 1, says=why)
            self.assertEqual(len(rest), 1, rest)
            self.assertIn("backend xrt, device failed: ", rest[0])
            rest = self.exact(daemon, 0, "--any-device")
            self.assertEqual(len(rest), 2, rest)
            self.assertTrue(rest[1].startswith(why), rest)

    def test_an_npu_that_fails_meanwhile(self):
        with Script("fail=14@5") as script, daemon_on(script) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            self.exact(daemon, 1, says="the CPU computed what the NPU was to: the NPU computed wrong results")

    def test_an_npu_that_recovers_meanwhile(self):
        with Script("fail=8@5") as script, daemon_on(script) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            rest = self.exact(daemon, 0)
            self.assertEqual(len(rest), 2, rest)
            self.assertTrue(rest[1].startswith("the NPU failed meanwhile and recovered: a command failed"), rest)
            self.assertEqual(len(self.exact(daemon, 0)), 1)  # what was before is no matter of now

    # -- products that there are not --

    def test_jobs_that_fail(self):
        with harness.Daemon({"backend": "sim", "sim-scale": 1, "sim-faults": "error@3"}) as daemon:
            items, rest = self.selftest(daemon, 1, says="of 99 products 0 are wrong and 1 failed; backend sim, device ")
            self.assertEqual(rest, [])
            self.assertRegex(items[2], "^64x64 @ 64x64, int32: FAILED: 1 of 1: .")
            self.assertEqual([bool(EXACT.match(line)) for line in items], [i != 2 for i in range(N_ITEMS)])

    def test_no_room(self):
        with harness.Daemon({"backend": "cpu", "bytes-per-uid": "256K"}) as daemon:
            items, _ = self.selftest(daemon, 1, says="bytes-per-uid")
            self.assertLess(len(items), N_ITEMS)

    def test_a_daemon_that_dies(self):
        """Whatever there is of it by then: it is no fault of the device."""
        with Script("silent@4") as script, daemon_on(script) as daemon:
            with daemon.client() as client:
                workers.wait_for_state(client, "ok")
            with subprocess.Popen([CLIENT, f"--socket={daemon.path}", "selftest"], stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
                for _ in range(3):
                    self.assertRegex(run.stdout.readline().rstrip("\n"), EXACT)
                daemon.kill()
                daemon.judged = True
                stdout, stderr = run.communicate(timeout=harness.PATIENCE)
            self.assertEqual((run.returncode, stdout, stderr.count("\n")), (1, "", 1), stderr)


if __name__ == "__main__":
    harness.main()
