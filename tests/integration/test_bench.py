# SPDX-License-Identifier: MIT
"""npumm-client bench against a real daemon: every scenario, what its report says, and how a run can end.

No speed is asserted: only what must hold on any machine, however busy.
"""
import json
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import time
import unittest

import harness

CLIENT = os.path.abspath(os.environ["NPUMM_CLIENT"])
KEYS = {"scenario", "clients", "depth", "rate", "seed", "seconds", "jobs", "refused", "expired", "unsent", "failed",
        "jobs_per_s", "gops", "p50_us", "p90_us", "p99_us", "p999_us", "jobs_per_submission", "rows_stacked",
        "padding_share", "backend", "device"}
SCENARIOS = {"single": [], "multi": ["--depth=4"], "server": ["--rate=200"], "offline": ["--depth=4"]}
SECONDS = 1.5 if harness.SLOW else 0.3


class Bench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon({"log-level": "info"})
        cls.daemon.__enter__()
        cls.temporary = tempfile.TemporaryDirectory(prefix="npumm-bench-")
        cls.folder = pathlib.Path(cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()
        cls.daemon.__exit__(None, None, None)

    def command(self, *arguments, socket=None, shape="20,30,40"):
        return [CLIENT, f"--socket={socket or self.daemon.path}", "bench", *([f"--shape={shape}"] if shape else []),
                "--warmup=0.05", f"--seconds={SECONDS}", *map(str, arguments)]

    def run_bench(self, *arguments, **how):
        return subprocess.run(self.command(*arguments, **how), cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)

    def start_bench(self, *arguments, **how):
        return subprocess.Popen(self.command(*arguments, **how), cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def report(self, *arguments, **how):
        """A run that goes well: its figures, which agree with each other."""
        run = self.run_bench("--json", *arguments, **how)
        self.assertEqual(run.returncode, 0, run)
        figures = json.loads(run.stdout)
        if figures["unsent"] > 0:  # what a busy machine may do to any client
            self.assertEqual(run.stderr.count("\n"), 1, run)
            self.assertIn(f"npumm-client: {figures['unsent']} jobs were due and not sent", run.stderr)
        else:
            self.assertEqual(run.stderr, "")
        self.assertEqual(set(figures), KEYS)
        self.assertGreater(figures["jobs"], 0)
        self.assertEqual(figures["failed"], 0)
        self.assertAlmostEqual(figures["jobs_per_s"], figures["jobs"] / figures["seconds"], delta=1e-3)
        self.assertGreater(figures["gops"], 0)
        self.assertGreater(figures["p50_us"], 0)
        self.assertLessEqual(figures["p50_us"], figures["p90_us"])
        self.assertLessEqual(figures["p90_us"], figures["p99_us"])
        self.assertLessEqual(figures["p99_us"], figures["p999_us"])
        self.assertGreaterEqual(figures["jobs_per_submission"], 1)
        self.assertGreaterEqual(figures["rows_stacked"], 0)
        self.assertTrue(0 <= figures["padding_share"] < 1)
        self.assertEqual(figures["backend"], "cpu")
        self.assertIn("kernel", figures["device"])
        return figures

    def refused(self, code, run, *says):
        """It fails with `code` and exactly one line, which has all the words of `says`."""
        self.assertEqual(run.returncode, code, run)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertTrue(run.stderr.startswith("npumm-client: "), run.stderr)
        for words in says:
            self.assertIn(words, run.stderr)

    def clients_of(self, bench, count):
        """The processes that it has forked, once there are `count`."""
        path = pathlib.Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        return harness.eventually(lambda: [int(pid) for pid in path.read_text().split()][:count] or None
                                  if len(path.read_text().split()) >= count else None, what="clients")

    def expect_gone(self, pids):
        """They end, though nobody may be there to reap them."""
        def is_gone(pid):
            try:
                return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
            except (FileNotFoundError, ProcessLookupError):
                return True
        harness.eventually(lambda: all(map(is_gone, pids)), what="the end of the clients")

    def status(self, daemon=None):
        run = subprocess.run([CLIENT, f"--socket={(daemon or self.daemon).path}", "status", "--json"],
                             capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    def jobs_ok(self, daemon=None):
        """How many jobs the daemon has done."""
        return self.status(daemon)["jobs_ok"]

    def finish(self, bench):
        """A run that was started: as subprocess.run() would return it."""
        out, err = bench.communicate(timeout=harness.PATIENCE)
        return subprocess.CompletedProcess(bench.args, bench.returncode, out, err)

    # -- what it measures --

    def test_scenarios(self):
        for scenario, options in SCENARIOS.items():
            for clients in (1, 3):
                with self.subTest(scenario=scenario, clients=clients):
                    figures = self.report(f"--scenario={scenario}", f"--clients={clients}", *options, "--verify")
                    self.assertEqual((figures["scenario"], figures["clients"]), (scenario, clients))
                    self.assertEqual(figures["depth"], {"single": 1, "server": None}.get(scenario, 4))
                    self.assertAlmostEqual(figures["gops"], figures["jobs_per_s"] * 2 * 20 * 30 * 40 / 1e9, delta=1e-3)
                    self.assertGreaterEqual(figures["seconds"], SECONDS)

    def test_every_form_and_way(self):
        for form in ("int32", "int8", "float32", "tile16-shift7"):
            for way in ([], ["--inline"], ["--own-b"], ["--inline", "--own-b"]):
                with self.subTest(form=form, way=way):
                    self.report(f"--output={form}", *way, "--verify=all", "--class=bulk", shape="33,100,17")

    def test_groups_are_whole(self):
        """Also the last one is waited for. They share B, and are one stack of rows."""
        before = self.jobs_ok()
        figures = self.report("--scenario=multi", "--depth=5")
        self.assertEqual(figures["depth"], 5)
        self.assertAlmostEqual(figures["jobs_per_submission"], 5, delta=0.5)
        self.assertGreaterEqual(figures["rows_stacked"], 20 * figures["jobs"] * 0.5)
        self.assertEqual((self.jobs_ok() - before) % 5, 0)

    def test_latency_counts_from_when_a_job_was_due(self):
        """Far over capacity jobs wait ever longer, though each is sent as soon as the daemon takes it."""
        shape = "16,128,128" if harness.SLOW else "128,256,256"
        alone = self.report("--scenario=single", shape=shape)
        flooded = self.report("--scenario=server", "--rate=1000000", shape=shape)
        self.assertGreater(flooded["p50_us"], 10 * alone["p50_us"])
        self.assertGreater(flooded["refused"], 0)
        self.assertIn("unsent", flooded)  # none, where the client has just looked when the time is over

    def test_latency_shows_a_client_that_was_stopped(self):
        """Jobs that were due meanwhile are late, though the daemon does each at once when it is sent."""
        stop_s = 0.6
        before = self.jobs_ok()
        bench = self.start_bench("--json", "--scenario=server", "--rate=200", "--seconds=3", "--warmup=0")
        (client,) = self.clients_of(bench, 1)
        harness.eventually(lambda: self.jobs_ok() > before + 10, what="some jobs")
        os.kill(client, signal.SIGSTOP)
        time.sleep(stop_s)  # this is what is measured
        os.kill(client, signal.SIGCONT)
        figures = json.loads(self.finish(bench).stdout)
        # A fifth of the jobs were due meanwhile; those of the first half of it alone are more than 1 in 100.
        self.assertGreater(figures["p99_us"], stop_s / 2 * 1e6)

    def test_every_job_that_was_due_is_counted(self):
        """Also where the clients cannot keep the rate: sent or not, as many as the rate says."""
        for rate in (300, 1000000):
            figures = self.report("--scenario=server", f"--rate={rate}", "--clients=2", "--seconds=1")
            self.assertEqual((figures["rate"], figures["seed"]), (rate, 1))
            counted = sum(figures[key] for key in ("jobs", "refused", "expired", "unsent"))
            # Five standard deviations; and jobs that are inside at either end count on one side of it only.
            inside = 2 * 2 * 256 if rate > 1000 else rate * 0.2
            self.assertAlmostEqual(counted, rate, delta=5 * rate ** 0.5 + inside)

    def test_weights_are_shared(self):
        """Two shapes with one B, and one with another: two matrices, however many clients."""
        bench = self.start_bench("--seconds=600", "--clients=3", "--shape=9,30,40", "--shape=20,40,30")
        harness.eventually(lambda: self.status()["loads"] and self.clients_of(bench, 3) and
                           self.status()["connections"] >= 5, what="three clients, their watcher and us")
        self.assertEqual(self.status()["weights"] - self.status()["weights_kept"], 2)
        bench.send_signal(signal.SIGINT)
        self.finish(bench)

    def test_deadlines(self):
        """Far over capacity most jobs come too late, which is no failure; what comes in time is counted."""
        run = self.run_bench("--json", "--scenario=server", "--rate=100000", "--deadline-us=20000", shape="128,256,256")
        figures = json.loads(run.stdout)
        self.assertGreater(figures["expired"] + figures["refused"], 0)
        self.assertEqual(figures["failed"], 0)

    def test_every_job_is_past_its_deadline(self):
        """Also a client alone: nothing is done in a microsecond. More seconds would not help, and are not advised."""
        run = self.run_bench("--json", "--scenario=single", "--deadline-us=1")
        self.refused(1, run, "past their deadline", "--deadline-us")
        figures = json.loads(run.stdout)
        self.assertGreater(figures["expired"], 0)
        self.assertEqual((figures["jobs"], figures["failed"], figures["p50_us"]), (0, 0, None))

    def test_class(self):
        """What waits for a slow device waits in the class that was asked for."""
        with harness.Daemon({"backend": "sim", "sim-scale": 3000}) as slow:  # 108 us of the model are 0.3 s
            for name in ("bulk", "interactive", "normal"):
                with self.subTest(name=name):
                    bench = self.start_bench("--seconds=600", "--warmup=0", "--clients=4", f"--class={name}",
                                             socket=slow.path)
                    seen = harness.eventually(lambda key=f"queue_{name}": (lambda status: status[key] and status)(
                        self.status(slow)), what="jobs that wait")
                    self.assertEqual(seen["queue_bulk"] + seen["queue_interactive"] + seen["queue_normal"],
                                     seen[f"queue_{name}"])
                    bench.send_signal(signal.SIGINT)
                    self.finish(bench)

    def test_thinking(self):
        """So many pauses of this mean fit into the time: 67, with a standard deviation of 8."""
        figures = self.report("--think-us=30000", "--seconds=2")
        self.assertLess(figures["jobs"], 107)
        self.assertGreater(figures["jobs"], 20)  # a busy machine adds to each

    def test_workload(self):
        path = self.folder / "workload"
        path.write_text("# two shapes\n20,30,40 3\n\n40,30,20  # once\n")
        figures = self.report(f"--workload={path}", "--verify=all", shape=None)
        self.assertGreater(figures["jobs"], 4)

    def test_same_seed_same_times(self):
        """Random times follow from the seed alone: as many jobs are due in the same time."""
        counts = {self.report("--scenario=server", "--rate=50", "--seconds=1", "--clients=2", f"--seed={seed}")["jobs"]
                  for seed in (5, 5)}
        self.assertLessEqual(max(counts) - min(counts), 3)  # one may have ended just before or behind either end

    def test_for_people(self):
        run = self.run_bench()
        self.assertEqual((run.returncode, run.stderr), (0, ""), run)
        self.assertRegex(run.stdout, r"(?m)^jobs +[1-9][0-9]*$")
        self.assertRegex(run.stdout, r"(?m)^  p99\.9 +[0-9.]+ us$")

    def test_progress_on_a_terminal(self):
        """Once a second, and erased at the end; the report itself goes elsewhere."""
        mine, theirs = pty.openpty()
        bench = subprocess.Popen(self.command("--seconds=2.2"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=theirs, text=True)
        os.close(theirs)
        out, _ = bench.communicate(timeout=harness.PATIENCE)
        shown = b""
        try:
            while piece := os.read(mine, 4096):
                shown += piece
        except OSError:  # how a terminal says that nobody is left
            pass
        os.close(mine)
        self.assertEqual(bench.returncode, 0)
        self.assertIn("jobs", out)
        self.assertIn(b"jobs/s", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)
        self.assertNotIn(b"\n", shown)

    # -- how it can end --

    def test_interrupt(self):
        """SIGINT ends it early, with what was measured until then."""
        before = self.jobs_ok()
        bench = self.start_bench("--json", "--seconds=600", "--clients=2", "--warmup=0")
        harness.eventually(lambda: self.jobs_ok() > before + 10, what="some jobs")
        bench.send_signal(signal.SIGINT)
        run = self.finish(bench)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run)
        figures = json.loads(run.stdout)
        self.assertGreater(figures["jobs"], 0)
        self.assertLess(figures["seconds"], 600)

    def test_interrupt_twice(self):
        """What is outstanding is waited for, which a terminal is told; who interrupts again gives up."""
        with harness.Daemon({"backend": "sim", "sim-scale": 200000}) as slow:  # 108 us of the model are 22 s
            mine, theirs = pty.openpty()
            bench = subprocess.Popen(self.command("--seconds=600", "--warmup=0", socket=slow.path),
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True)
            os.close(theirs)
            harness.eventually(lambda: self.status(slow)["jobs_inside"], what="a job")
            bench.send_signal(signal.SIGINT)
            shown = b""
            while b"waiting for outstanding jobs of clients, 1 left; Ctrl-C again gives up" not in shown:
                shown += os.read(mine, 4096)
            time.sleep(0.7)  # one that comes within half a second counts as the same
            bench.send_signal(signal.SIGINT)
            while b"interrupted twice; nothing was reported" not in shown:
                shown += os.read(mine, 4096)
            os.close(mine)
            self.assertEqual(bench.communicate()[0], "")
            self.assertEqual(bench.returncode, 1)
            slow.process.kill()  # it would finish the job first
            slow.judged = True

    def test_interrupt_before_anything(self):
        bench = self.start_bench("--warmup=600")
        self.clients_of(bench, 1)
        bench.send_signal(signal.SIGTERM)
        self.refused(1, self.finish(bench), "interrupted before anything was measured")

    def test_client_dies(self):
        bench = self.start_bench("--seconds=600", "--clients=3")
        clients = self.clients_of(bench, 3)
        os.kill(clients[1], signal.SIGKILL)
        self.refused(1, self.finish(bench), "client process 1 was killed by signal 9")
        self.expect_gone(clients)

    def test_clients_end_with_their_watcher(self):
        bench = self.start_bench("--seconds=600", "--clients=3")
        clients = self.clients_of(bench, 3)
        bench.kill()
        self.finish(bench)
        self.expect_gone(clients)

    def test_daemon_dies(self):
        with harness.Daemon() as daemon:
            bench = self.start_bench("--seconds=600", "--clients=3", socket=daemon.path)
            harness.eventually(lambda: self.jobs_ok(daemon) > 10, what="some jobs")
            daemon.process.kill()
            daemon.judged = True
            self.refused(1, self.finish(bench), daemon.path)

    def test_no_daemon(self):
        self.refused(3, self.run_bench("--clients=4", socket="/nonexistent/sock"), "/nonexistent/sock")

    def test_over_limits(self):
        with harness.Daemon({"connections-per-uid": 3}) as small:
            # With or without a word: one that has not said HELLO yet may be shed for the others.
            self.refused(3, self.run_bench("--clients=4", socket=small.path), small.path)
        with harness.Daemon({"bytes-per-uid": "64K"}) as small:
            self.refused(1, self.run_bench(socket=small.path, shape="300,300,300"), "bytes-per-uid")

    def test_what_the_library_would_say_to_programs(self):
        """Options have no npumm_info, and no NPUMM_MATMUL_MORE."""
        for config, way, says in (({"inline-bytes": "64K"}, ["--inline"], "leave --inline out"),
                                  ({"inline-bytes": "64K"}, ["--inline", "--own-b"], "leave --inline out"),
                                  ({"arena-bytes": "64K"}, [], "smaller matrices"),
                                  ({"arena-bytes": "64K"}, ["--own-b"], "smaller matrices"),
                                  ({"jobs-per-connection": 4}, ["--scenario=offline", "--depth=5"], "--depth=5")):
            with self.subTest(config=config, way=way), harness.Daemon(config) as small:
                run = self.run_bench(*way, socket=small.path, shape="300,300,300")
                self.refused(1, run, says)
                self.assertNotIn("npumm_", run.stderr.lower())
        for way, says in ((["--own-b", "--deadline-us=5"], "leave --deadline-us out"), ([], "give --own-b"),
                          (["--own-b", "--scenario=multi"], "another --scenario")):
            with self.subTest(way=way), harness.OldDaemon(self.folder / "old.sock") as old:
                run = self.run_bench("--inline", "--warmup=600", *way, socket=old.path)
                self.refused(1, run, "the daemon is too old for ", says)

    def test_one_connection_more_than_clients(self):
        with harness.Daemon({"connections-per-uid": 3}) as small:
            self.report("--clients=2", socket=small.path)

    def test_usage(self):
        (self.folder / "bad").write_text("1,2,3\n1,2\n")
        (self.folder / "empty").write_text("")
        for says, arguments in {
                "scenario": ["--scenario=double"], "1 to 1024": ["--clients=0"], "--rate": ["--scenario=server"],
                "needs --scenario=server": ["--rate=5"], "needs --scenario=multi": ["--depth=5"],
                "needs --scenario=single": ["--scenario=offline", "--think-us=5"], "0.001 to 1e+06": ["--seconds=0"],
                "--seconds=x": ["--seconds=x"], "K is 0": ["--shape=1,0,3"], "blanks": ["--shape=1,2,3 4"],
                "no shape": ["--shape=5"], "--verify=some": ["--verify=some"], "--class=x": ["--class=x"],
                "--output=x": ["--output=x"], "--deadline-us": ["--deadline-us=3600000001"],
                "unexpected": ["extra"]}.items():
            with self.subTest(arguments=arguments):
                self.refused(2, self.run_bench(*arguments), says)
        for says, arguments in {"line 2: '1,2' is no shape": ["--workload=bad"], "has no shapes": ["--workload=empty"],
                                "No such file": ["--workload=nowhere"], "cannot be read": ["--workload=."]}.items():
            with self.subTest(arguments=arguments):
                self.refused(1 if "." in arguments[0] else 2, self.run_bench(*arguments, shape=None), says)
        self.refused(2, self.run_bench("--workload=bad"), "one of the two")



class OriginTable(unittest.TestCase):
    """What models say of the original's way and of ours: no daemon is needed."""

    def table(self, *arguments):
        run = subprocess.run([CLIENT, "--socket=/nowhere", "bench", "--origin-table", *arguments],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run)
        return run.stdout

    def test_one_product(self):
        (table,) = json.loads(self.table("--shape=500,512,512", "--json"))
        self.assertTrue(table["is_model"])
        origin, batched = table["origin"], table["batched"]
        self.assertEqual((origin["submissions"], origin["buffer_syncs"], origin["matrix_copies"]),
                         (32768, 65536, 262144))
        self.assertAlmostEqual(origin["seconds"], 1082, delta=0.5)
        self.assertAlmostEqual(table["origin_measured"]["seconds"], 15.1, delta=0.1)
        self.assertEqual((batched["submissions"], batched["buffer_syncs"], batched["matrix_copies"]), (1, 2, 2))
        # 108 us, and 2 x 2 macro-tiles of 8 steps of 1.78 us
        self.assertAlmostEqual(batched["seconds"], 164.96e-6, delta=1e-9)

    def test_scenario_says_nothing_here(self):
        """So none has to be complete."""
        self.assertEqual(self.table("--scenario=server"), self.table())

    def test_for_people(self):
        text = self.table("--shape=16,16,16", "--shape=500,512,512")
        self.assertEqual(text.count("by models (not measured)"), 2)
        for word in ("32768", "65536", "262144", "1082.1 s", "165.0 us"):
            self.assertIn(word, text)


if __name__ == "__main__":
    harness.main()
