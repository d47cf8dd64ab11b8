# SPDX-License-Identifier: MIT
"""The emulated NPU fails in all the ways that are known of real ones, by both drivers that there are: clients get what
they asked for, from another worker or from the CPU, and the NPU serves again as soon as it can.

EMULATION: written from the sources of drivers and from reports, never compared with one.
"""
import contextlib
import unittest

import emulated
import harness
import scenes
import workers

TIMEOUT_MS = 5000 if harness.SLOW else 1500  # of the worker
TDR_MS = 700       # of the driver, where it ends commands by itself
PROFILES = {"xdna-1.8": TDR_MS, "mainline": 60000}
SOON = 1.0 if harness.TIMED else 10.0  # printed in any case


def daemon_on(npu, **settings):
    daemon = workers.daemon(env=npu.daemon_env(), **{**emulated.SETTINGS, "npu-timeout-ms": TIMEOUT_MS,
                                                     "npu-retry-ms": 300, **settings})
    daemon.preface = ("",)  # XRT complains, too
    return daemon


class Once(unittest.TestCase):
    """A command meets a fault. Two times are printed, and with NPUMM_TEST_TIMES=1 asserted: from when the fault was
    noticed until a new worker has its device opened and tested, and the longest that any client waited beyond the
    fault's own duration."""

    def fault(self, line, causes, profile, duration_s, tdr_ms=None):
        with self.subTest(profile=profile, fault=line), \
                emulated.Npu(profile=profile, tdr_ms=tdr_ms or PROFILES[profile]) as npu, \
                daemon_on(npu) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            with workers.Crowd(daemon) as crowd:
                crowd.expect_progress(3)
                crowd.longest()
                npu.faults(f"{line} x1")  # the next command
                harness.eventually(lambda: workers.npu(client)["faults"] > 0 or not causes and any(
                    "fault=slow" in end for end in npu.lines("END")), what="the fault")
                if causes:
                    seconds = workers.recover(client, f"{profile}, {line}")
                    self.assertLess(seconds, SOON)
                crowd.expect_progress(5)
                longest_s = crowd.longest()
            seen = workers.npu(client)
            print(f"{profile}, {line}: clients waited {longest_s:.2f} s at most, of which the fault {duration_s}",
                  flush=True)
            self.assertLess(longest_s, duration_s + SOON)
            self.assertEqual(seen["state"], "ok")
            if causes:
                self.assertIn(seen["cause"], causes)
                # A start that takes longer than jobs are let wait, as on a busy machine, leaves them to the CPU.
                self.assertGreaterEqual(seen["reruns"] + seen["cpu_batches"], 1)
            if harness.TIMED:
                self.assertEqual(seen["cpu_batches"], 0)
            self.assertEqual((seen["faults"], seen["failed_batches"]), (1 if causes else 0, 0))
            npu.check_log("--allow-say")

    def each(self, line, causes_of_18, causes_of_mainline, duration_s=0.0, mainline_s=None):
        self.fault(line, causes_of_18, "xdna-1.8", duration_s)
        self.fault(line, causes_of_mainline, "mainline", duration_s if mainline_s is None else mainline_s)

    def test_error(self):
        self.each("error", ["error"], ["error"])

    def test_abort(self):
        self.each("abort", ["abort"], ["abort"])

    def test_timeout(self):
        self.each("timeout", ["timeout", "abort"], ["hung"], TDR_MS / 1e3, TIMEOUT_MS / 1e3)

    def test_timeout_of_a_driver_that_says_nothing(self):
        """Mainline's at its end: fences are signalled, states stay NEW, and the context is dead."""
        for line in ("timeout", "dropped", "hang"):
            self.fault(line, ["hung"], "mainline", TIMEOUT_MS / 1e3, tdr_ms=TDR_MS)

    def test_hang(self):
        self.each("hang", ["hung"], ["hung"], TIMEOUT_MS / 1e3)

    def test_a_wait_that_never_ends(self):
        """The thread that waits hangs in the driver: the worker's other one sees it."""
        self.each("stuck", ["hung"], ["hung"], TIMEOUT_MS / 1e3 + 0.7)

    def test_nostate(self):
        self.each("nostate", ["hung"], ["hung"], TIMEOUT_MS / 1e3)

    def test_dropped(self):
        self.each("dropped", ["timeout", "abort"], ["hung"], TDR_MS / 1e3, TIMEOUT_MS / 1e3)

    def test_slow_wake(self):
        self.each("slow 400", [], [], 0.4)

    def test_lost_after_suspend(self):
        self.each("lost", ["lost"], ["lost"])


class Again(unittest.TestCase):
    """Faults that a new worker does not heal: the CPU serves, and the NPU is used again when it is well."""

    def outage(self, profile, begin, states, causes, *, crowd_before=True, end=()):
        with self.subTest(profile=profile, fault=begin), \
                emulated.Npu(profile=profile, tdr_ms=PROFILES[profile]) as npu, daemon_on(npu) as daemon, \
                daemon.client() as client:
            workers.wait_for_state(client, "ok")
            with workers.Crowd(daemon) as crowd:
                crowd.expect_progress(3)
                npu.faults(begin)
                seen = workers.wait_for_state(client, *states, seconds=3 * harness.PATIENCE)
                print(f"{profile}, {begin}: {seen['state']}, {seen['reason']}", flush=True)
                self.assertIn(seen["cause"], causes)
                crowd.expect_progress()
                self.assertGreater(workers.npu(client)["cpu_batches"], 0)
                npu.faults(*end)
                seen = workers.wait_for_state(client, "ok", seconds=3 * harness.PATIENCE)
                commands = workers.npu(client)["commands"]
                crowd.expect_progress()
                self.assertGreater(workers.npu(client)["commands"], commands)
            self.assertEqual(workers.npu(client)["failed_batches"], 0)
            self.assertTrue(daemon.is_alive())
            npu.check_log("--allow-say")

    def test_repeated_errors(self):
        for profile in PROFILES:
            self.outage(profile, "error x*", ["degraded"], ["error", "wrong"])

    def test_device_gone_and_back(self):
        for profile in PROFILES:
            self.outage(profile, "gone", ["degraded"], ["gone", "absent", "lost"])

    def test_firmware_wedged(self):
        for profile in PROFILES:
            self.outage(profile, "wedge", ["degraded"], ["context", "hung"])

    def test_no_context_to_be_had(self):
        with emulated.Npu() as npu:
            npu.faults("nocontext")
            with daemon_on(npu) as daemon, daemon.client() as client:
                seen = workers.wait_for_state(client, "degraded")
                self.assertEqual(seen["cause"], "context")
                scenes.expect_inline_works(client)
                npu.faults()
                workers.wait_for_state(client, "ok")

    def test_permission(self):
        with emulated.Npu() as npu:
            npu.faults("permission")
            with daemon_on(npu) as daemon, daemon.client() as client:
                seen = workers.wait_for_state(client, "failed")
                self.assertEqual(seen["cause"], "permission")
                self.assertIn("group", seen["advice"])
                scenes.expect_inline_works(client)
                self.assertEqual(sum("NPU failed" in line for line in daemon.stderr().splitlines()), 1)

    def test_all_contexts_taken(self):
        """Six others have the device: the seventh is refused, and gets it when one goes."""
        with emulated.Npu() as npu, contextlib.ExitStack() as stack:
            others = [stack.enter_context(daemon_on(npu)) for _ in range(6)]
            for other in others:
                with other.client() as client:
                    workers.wait_for_state(client, "ok")
            with daemon_on(npu) as daemon, daemon.client() as client:
                self.assertEqual(workers.wait_for_state(client, "degraded")["cause"], "context")
                scenes.expect_inline_works(client)
                others[0].stop()
                workers.wait_for_state(client, "ok")


class Wrong(unittest.TestCase):
    def test_silently_wrong_data(self):
        """COMPLETED, and a bit is wrong: no client sees it, and the NPU is not used for a while."""
        for profile, tdr_ms in PROFILES.items():
            with self.subTest(profile), emulated.Npu(profile=profile, tdr_ms=tdr_ms) as npu, \
                    daemon_on(npu) as daemon, daemon.client() as client:
                workers.wait_for_state(client, "ok")
                with workers.Crowd(daemon) as crowd:
                    npu.faults("wrong x1")
                    seen = workers.wait_for_state(client, "degraded")
                    print(f"{profile}, wrong: {seen['reason']}; again in {seen['retry_s']:.1f} s", flush=True)
                    commands = npu.commands()
                    crowd.expect_progress()
                    self.assertEqual(npu.commands(), commands)
                    self.assertEqual((seen["cause"], seen["wrong_results"], seen["failed_batches"]), ("wrong", 1, 0))
                    # 32 x 0.3 s later it is tested, and used again.
                    seen = workers.wait_for_state(client, "ok")
                    crowd.expect_progress()
                self.assertGreater(npu.commands(), commands)

    def test_nobody_would_have_seen_it(self):
        """The counter-proof: without the check the same fault reaches a client."""
        with emulated.Npu() as npu, daemon_on(npu, **{"npu-check": "off"}) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            npu.faults("wrong x*")
            with self.assertRaisesRegex(AssertionError, "not exact"):
                for seed in range(20):
                    scenes.expect_inline_works(client, seed)


if __name__ == "__main__":
    harness.main()
