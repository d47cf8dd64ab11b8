# SPDX-License-Identifier: MIT
"""The NPU's worker process fails in every way that there is: jobs are done all the same.

By a stub of the worker, whose script says what goes wrong; tests/xrt has the same of the real one.
"""
import json
import os
import pathlib
import re
import tempfile
import unittest

import harness
import scenes
import workers

STUB = str(workers.WORKER)


class Script:
    """What the stub's processes do, one line each; see tests/fake/stub-worker.c."""

    def __init__(self, *lines):
        self.temporary = tempfile.TemporaryDirectory(prefix="npumm-stub-")
        self.path = pathlib.Path(self.temporary.name, "script")
        self.path.write_text("".join(f"{line}\n" for line in lines))
        self.env = {"STUB_WORKER": str(self.path)}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.temporary.cleanup()

    def add(self, *lines):
        self.path.write_text("".join(f"{line}\n" for line in lines))

    def log(self):
        """[(pid, action)] of all processes so far."""
        lines = pathlib.Path(f"{self.path}.log").read_text().split("\n")[:-1]
        return [(int(line.split()[0]), line.split()[1]) for line in lines]


def is_running(pid):
    """A process that has ended and is not reaped does not count."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Replaced(unittest.TestCase):
    """A fault, a new worker, and nobody notices but for the time."""

    def after(self, action, cause, noticed_within=None):
        with Script(f"{action}@5") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            with workers.Crowd(daemon) as crowd:
                harness.eventually(lambda: len(script.log()) == 2, what="a second worker")
                seconds = workers.recover(client, action)
                crowd.expect_progress()
                longest_s = crowd.longest()
            seen = workers.npu(client)
            self.assertEqual((seen["state"], seen["cause"], seen["faults"], seen["workers"]), ("ok", cause, 1, 2))
            # A start that takes longer than jobs are let wait, as on a busy machine, leaves them to the CPU.
            self.assertGreaterEqual(seen["reruns"] + seen["cpu_batches"], 1)
            self.assertEqual(seen["failed_batches"], 0)
            if harness.TIMED:
                self.assertEqual(seen["cpu_batches"], 0)
            self.assertLess(seconds, 1.0 if harness.TIMED else 10.0)
            if noticed_within and harness.TIMED:
                self.assertLess(longest_s, noticed_within + 1.0)
            self.assertFalse(is_running(script.log()[0][0]))

    def test_a_command_that_fails(self):
        self.after("fail=8", "error")

    def test_a_command_that_hangs(self):
        self.after("fail=11", "hung")

    def test_a_worker_that_exits(self):
        self.after("exit", "worker")

    def test_a_worker_that_is_killed(self):
        self.after("die", "worker")

    def test_a_worker_that_makes_no_sense(self):
        self.after("garbage", "worker")

    def test_a_worker_that_ends_what_it_was_not_given(self):
        self.after("other", "worker")

    def test_a_worker_that_says_nothing(self):
        self.after("silent", "silent")

    def test_a_worker_that_says_nothing_in_the_middle_of_a_matrix(self):
        self.after("inside", "silent")

    def test_a_worker_that_fails_and_lives_on(self):
        self.after("linger", "hung")

    def test_a_worker_that_hangs_in_closing(self):
        """Its socket ends, and it does not: that is noticed long before its silence would be."""
        self.after("close", "worker", noticed_within=0.5)

    def test_nobody_pays_for_the_time_that_it_takes(self):
        """What a user has had of the device is what it computed, not how long a worker took to start."""
        with Script("late") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            scenes.expect_inline_works(client)
            self.assertLess(json.loads(client.status())["device_busy_us"], 400000)


class Breaker(unittest.TestCase):
    def test_repeated_faults_open_it_and_the_device_closes_it(self):
        with Script(*["fail=8@1"] * 5) as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            with workers.Crowd(daemon) as crowd:
                seen = workers.wait_for_state(client, "degraded")
                self.assertEqual(seen["cause"], "error")
                self.assertIn("a command failed", seen["reason"])
                self.assertIn("modprobe", seen["advice"])
                crowd.expect_progress()
                self.assertGreater(workers.npu(client)["cpu_batches"], 0)
                # Tried again and again, it fails each time, until it does not.
                harness.eventually(lambda: len(script.log()) == 6, what="five faults")
                seen = workers.wait_for_state(client, "ok")
                crowd.expect_progress()
                self.assertEqual(workers.npu(client)["cpu_batches"], seen["cpu_batches"])
            self.assertEqual(seen["faults"], 5)
            self.assertIn("NPU degraded: a command failed", daemon.stderr())
            self.assertRegex(daemon.stderr(), "NPU ok: a stub, driver 0, firmware 0; it had failed: a command failed")

    def test_wrong_results_open_it_at_once(self):
        with Script("fail=14@2") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            with workers.Crowd(daemon) as crowd:
                seen = workers.wait_for_state(client, "degraded")
                crowd.expect_progress()
            self.assertEqual((seen["cause"], seen["wrong_results"], seen["faults"]), ("wrong", 1, 1))
            self.assertGreater(seen["retry_s"], 32 * 0.3 - 5)  # it is not tried soon
            self.assertEqual(len(script.log()), 1)

    def test_what_somebody_has_to_do_first(self):
        for cause, name, words in ((1, "memlock", "LimitMEMLOCK"), (2, "permission", "group"),
                                   (4, "program", "build.sh")):
            with self.subTest(name), Script(f"fail={cause}") as script, workers.daemon(env=script.env) as daemon, \
                    daemon.client() as client:
                seen = workers.wait_for_state(client, "failed")
                self.assertEqual(seen["cause"], name)
                self.assertIn(words, seen["advice"])
                with workers.Crowd(daemon) as crowd:
                    crowd.expect_progress()
                line = [line for line in daemon.stderr().splitlines() if "NPU failed" in line]
                self.assertEqual(len(line), 1, line)
                self.assertIn("the CPU serves", line[0])
                self.assertIn(words, line[0])

    def test_a_worker_that_never_gets_ready_keeps_nobody_waiting(self):
        with Script("silent") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            with workers.Crowd(daemon) as crowd:
                crowd.expect_progress()
                # The first jobs have waited for it; others do not, or so many would take half a minute.
                crowd.expect_progress(100)
            self.assertEqual(workers.npu(client)["state"], "recovering")
            self.assertGreater(workers.npu(client)["cpu_batches"], 0)

    def test_a_worker_of_another_build(self):
        with Script("old") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            seen = workers.wait_for_state(client, "failed")
            self.assertEqual(seen["cause"], "build")
            self.assertIn("restart npumatmuld", seen["advice"])
            scenes.expect_inline_works(client)

    def test_what_the_service_manager_is_told(self):
        with Script("fail=1") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "failed")
            daemon.notify.listen(lambda: any("failed" in line for line in daemon.notify.seen), daemon.process)
            told = [line for line in daemon.notify.seen if line.startswith("STATUS=Serving on xrt, failed")]
            self.assertEqual(len(told), 1, daemon.notify.seen)
            self.assertIn("by the script", told[0])
            self.assertIn("LimitMEMLOCK", told[0])

    def test_a_worker_that_cannot_be_started(self):
        # A name that is not ASCII, and long: what is said of it is cut, and can be shown all the same.
        with tempfile.NamedTemporaryFile(suffix="\u00e9" * 40 + ".sh", mode="w") as file:
            file.write("#!/no/such/interpreter\n")
            file.flush()
            os.chmod(file.name, 0o755)
            with workers.daemon(**{"npu-worker": file.name}) as daemon, daemon.client() as client:
                with workers.Crowd(daemon) as crowd:
                    seen = workers.wait_for_state(client, "degraded")
                    crowd.expect_progress()
                self.assertIn("cannot be started", seen["reason"])


class Unkillable(unittest.TestCase):
    """SIGKILL does nothing and nobody can be reaped: LD_PRELOAD, tests/fake/unkillable.c."""

    def setUp(self):
        self.script = Script("silent@2", "silent@2", "silent@2")
        self.word = pathlib.Path(self.script.temporary.name, "word")
        self.word.touch()
        preload = " ".join(filter(None, [os.environ.get("NPUMM_SANITIZER_RUNTIME"), os.environ["NPUMM_UNKILLABLE"]]))
        self.env = {**self.script.env, "UNKILLABLE": str(self.word), "LD_PRELOAD": preload}

    def tearDown(self):
        for pid, _ in self.script.log():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.script.__exit__()

    def test_two_of_them_open_the_breaker(self):
        with workers.daemon(env=self.env) as daemon, daemon.client() as client:
            with workers.Crowd(daemon) as crowd:
                seen = workers.wait_for_state(client, "failed", seconds=2 * harness.PATIENCE)
                self.assertEqual((seen["workers"], seen["workers_unended"]), (2, 2))
                self.assertIn("2 killed workers do not end", seen["reason"])
                self.assertTrue(all(is_running(pid) for pid, _ in self.script.log()))
                crowd.expect_progress()
                self.assertEqual(workers.npu(client)["failed_batches"], 0)
                # They end after all: there is room for another, which does its work.
                self.script.add("")
                self.word.unlink()
                for pid, _ in self.script.log():
                    os.kill(pid, 9)
                seen = workers.wait_for_state(client, "ok")
                crowd.expect_progress()
            self.assertEqual((seen["workers"], seen["workers_unended"]), (3, 0))

    def test_one_that_may_still_write_keeps_what_it_may_write_to(self):
        """A worker that stays inside the gate: nobody can compute the job, and its arena is not used again."""
        self.script.add("inside@2", "")
        with workers.daemon(env=self.env) as daemon, daemon.client() as client:
            with workers.Crowd(daemon, may_fail=True) as crowd:
                harness.eventually(lambda: workers.npu(client)["failed_batches"] > 0, what="a batch that fails")
                workers.wait_for_state(client, "ok")
                # Whose memory it has nothing to do with, and that may be nobody of the first, is served.
                with workers.Crowd(daemon) as others:
                    others.expect_progress()
                # And nobody is given a result that it may overwrite: a job in the same memory fails, too.
                failed = crowd.failed
                harness.eventually(lambda: crowd.failed > failed + 3, what="more jobs that fail")
            # All clients are gone; the arenas that the stray may write to are kept, and charged.
            def kept():
                now = json.loads(client.status())
                return now if now["connections"] == 1 and now["arenas"] > 0 else None
            kept_now = harness.eventually(kept, what="arenas kept")
            self.assertGreater(kept_now["arena_bytes"], 0)
            self.word.unlink()
            os.kill(self.script.log()[0][0], 9)
            harness.eventually(lambda: workers.npu(client)["workers_unended"] == 0, what="the stray's end")
            harness.eventually(lambda: json.loads(client.status())["arenas"] == 0, what="the arenas' end")


class Stopping(unittest.TestCase):
    def test_a_daemon_that_stops_leaves_no_worker(self):
        with Script("") as script:
            with workers.daemon(env=script.env) as daemon, daemon.client() as client:
                workers.wait_for_state(client, "ok")
                with workers.Crowd(daemon) as crowd:
                    crowd.expect_progress()
            harness.eventually(lambda: not is_running(script.log()[0][0]), what="the worker's end")

    def test_a_daemon_that_is_killed_leaves_no_worker(self):
        with Script("silent@1") as script, workers.daemon(env=script.env) as daemon:
            with daemon.client() as client:
                workers.wait_for_state(client, "ok")
            daemon.kill()
            daemon.judged = True
            harness.eventually(lambda: not is_running(script.log()[0][0]), what="the worker's end")

    def test_the_worker_inherits_nothing(self):
        with Script("") as script, workers.daemon(env=script.env) as daemon, daemon.client() as client:
            workers.wait_for_state(client, "ok")
            folder = pathlib.Path(f"/proc/{script.log()[0][0]}/fd")
            opened = {int(entry.name): os.readlink(entry) for entry in folder.iterdir()}
            self.assertEqual(sorted(opened), [0, 1, 2, 3, 4], opened)
            self.assertTrue(re.match("socket:", opened[3]) and "npumm-gate" in opened[4], opened)


if __name__ == "__main__":
    harness.main()
