# SPDX-License-Identifier: MIT
"""Many clients, one submission: what a real daemon makes of jobs that meet, wait, and end early.

The sim device is a model of an NPU (its times are scaled so that the CPU keeps up): what is counted here is what the
daemon does, never how fast a device is. Nothing asserts a time but that a thing came before another.
"""
import json
import os
import unittest

import numpy

import harness
import scenes
import wire

def sim(**settings):
    return harness.Daemon({"backend": "sim", **settings})


def counters(client):
    return json.loads(client.status())


class Weighted:
    """Jobs of one set of weights, their operands in one arena."""

    def __init__(self, client, k, n, seed=1):
        self.client, self.k, self.n = client, k, n
        self.rng = numpy.random.default_rng(seed)
        self.b = scenes.random_matrix(self.rng, k, n)
        self.weights = client.weights_load(k, n, payload=self.b.tobytes()).handle

    def submit(self, m, *, weights=None, **fields):
        """An inline job; what it must give goes along."""
        a = scenes.random_matrix(self.rng, m, self.k)
        request_id = self.client.matmul(m, self.k, self.n, wire.Place(), wire.Place(), wire.Place(),
                                        weights=self.weights if weights is None else weights,
                                        payload=a.tobytes(), **fields)
        return request_id, a

    def expect_exact(self, job):
        request_id, a = job
        c = scenes.inline_result(self.client, request_id, a.shape[0], self.n)
        assert numpy.array_equal(c, scenes.product(a, self.b)), "the product is not exact"


class Counting(unittest.TestCase):
    """What one product takes of a device."""

    def test_one_product_is_one_submission(self):
        with sim(sim_scale=1000 if harness.SLOW else 400) as daemon, daemon.client() as client:
            weighted = Weighted(client, 512, 512)
            weighted.expect_exact(weighted.submit(500))
            now = counters(client)
            self.assertEqual((now["submissions"], now["buffer_syncs"], now["matrix_copies"], now["weights_packs"]),
                             (1, 2, 2, 1))
            self.assertAlmostEqual(now["padding_share"], 1 - 500 / 512, delta=1e-6)
            (me,) = now["clients"]
            self.assertEqual((me["uid"], me["pid"], me["name"]), (os.getuid(), os.getpid(), "test"))
            self.assertAlmostEqual(me["device_us"], now["device_busy_us"], delta=2)
            (user,) = now["users"]
            self.assertEqual((user["uid"], user["jobs_waiting"]), (os.getuid(), 0))
            self.assertAlmostEqual(user["device_us"], now["device_busy_us"], delta=2)

    def test_time_counts_for_the_user_while_it_has_a_connection(self):
        with harness.Daemon() as daemon:
            with daemon.client() as other:
                with daemon.client() as client:
                    weighted = Weighted(client, 512, 512)
                    weighted.expect_exact(weighted.submit(100))
                (user,) = counters(other)["users"]
                self.assertGreater(user["device_us"], 0)
                harness.eventually(lambda: counters(other)["connections"] == 1)
                self.assertEqual(counters(other)["users"], [user])
                (me,) = counters(other)["clients"]
                self.assertEqual(me["device_us"], 0)

            def begun_anew():
                with daemon.client() as client:
                    return [user["device_us"] for user in counters(client)["users"]] == [0]
            harness.eventually(begun_anew)

    def test_jobs_that_wait_are_their_users(self):
        with harness.Daemon({"batch-bound-us": 1000000}) as daemon, daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            busy = scenes.ArenaJob(client, harness.scaled(4096, by=16), 512, 2048, oracle=False)
            busy.submit()
            client.ping()
            jobs = [weighted.submit(1, job_class=job_class) for job_class in (wire.NORMAL, wire.BULK)]
            now = counters(client)
            (user,) = now["users"]
            self.assertEqual(user["jobs_waiting"], now["queue_depth"])
            self.assertGreaterEqual(user["jobs_waiting"], 2)
            for job in jobs:
                weighted.expect_exact(job)

    def test_sixteen_rows_are_one_product(self):
        """On the CPU, which gains by stacking alone."""
        with harness.Daemon() as daemon, daemon.client() as client:
            weighted = Weighted(client, 512, 512)
            before = counters(client)
            jobs = [weighted.submit(1, more=i < 15) for i in range(16)]
            for job in jobs:
                weighted.expect_exact(job)
            after = counters(client)
            grown = {key: after[key] - before[key] for key in ("submissions", "submission_jobs", "stacks", "rows_stacked")}
            self.assertEqual(grown, {"submissions": 1, "submission_jobs": 16, "stacks": 1, "rows_stacked": 16})

    def test_what_queues_is_stacked(self):
        """The same without a group: sixteen that find the device busy."""
        with harness.Daemon({"batch-bound-us": 1000000}) as daemon, daemon.client() as client:
            weighted = Weighted(client, 512, 512)
            busy = scenes.ArenaJob(client, harness.scaled(4096, by=16), 512, 2048, oracle=False)
            busy.submit()
            client.ping()
            jobs = [weighted.submit(1) for _ in range(16)]
            for job in jobs:
                weighted.expect_exact(job)
            now = counters(client)
            self.assertEqual((now["submissions"], now["stacks"], now["rows_stacked"]), (2, 2, 16))

    def test_stacking_can_be_switched_off(self):
        with harness.Daemon() as daemon, daemon.client() as client:
            client.expect(wire.SET_DONE, client.set("stacking", "off"))
            weighted = Weighted(client, 64, 64)
            jobs = [weighted.submit(1, more=i < 15) for i in range(16)]
            for job in jobs:
                weighted.expect_exact(job)
            now = counters(client)
            self.assertEqual((now["submissions"], now["stacks"], now["rows_stacked"]), (1, 16, 0))

    def test_a_group_lands_in_one_submission(self):
        """Q, K and V of one activation: three weights, one A."""
        with sim(policy="natural", sim_scale=100) as daemon, daemon.client() as client:
            thirds = [Weighted(client, 64, 48, seed) for seed in range(3)]
            jobs = [thirds[i].submit(32, more=i < 2) for i in range(3)]
            for third, job in zip(thirds, jobs):
                third.expect_exact(job)
            now = counters(client)
            self.assertEqual((now["submissions"], now["stacks"], now["buffer_syncs"]), (1, 3, 2))

    def test_different_weights_share_a_submission(self):
        with sim() as daemon, daemon.client() as client:
            first, *others = [Weighted(client, 64, 48, seed) for seed in range(6)]
            held = first.submit(2000)
            client.ping()
            jobs = [other.submit(300) for other in others]
            for other, job in zip(others, jobs):
                other.expect_exact(job)
            first.expect_exact(held)
            self.assertEqual(counters(client)["submissions"], 2)


class Settings(unittest.TestCase):
    """SET, while the daemon runs."""

    def test_settings(self):
        with harness.Daemon({"policy": "window"}) as daemon, daemon.client() as client:
            self.assertEqual(counters(client)["policy"], "window")
            for policy in ("natural", "hold", "window"):
                client.expect(wire.SET_DONE, client.set("policy", policy))
                self.assertEqual(counters(client)["policy"], policy)
            client.expect(wire.SET_DONE, client.set("window-us", "0"))
            client.expect_error(client.set("policy", "best"), wire.INVALID, "policy", "natural, hold, window")
            client.expect_error(client.set("window-us", "-1"), wire.INVALID, "window-us")
            client.expect_error(client.set("bytes", "1G"), wire.INVALID, "bytes", "policy")
            client.expect_error(client.set("", ""), wire.INVALID)
            scenes.expect_inline_works(client)

    @unittest.skipUnless(os.getuid() == 0, "only root can connect as somebody else")
    def test_only_root_and_the_daemons_user_may(self):
        with harness.Daemon() as daemon:
            os.chmod(daemon.path, 0o666)
            os.chmod(daemon.folder, 0o755)
            with daemon.client(uid=12345) as client:
                client.expect_error(client.set("policy", "natural"), wire.DENIED, "12345", "root")
                self.assertEqual(counters(client)["policy"], "hold")
                scenes.expect_inline_works(client)


class Ends(unittest.TestCase):
    """Jobs that end otherwise than with their product, or nearly."""

    def test_a_deadline_that_cannot_be_kept_is_refused(self):
        with sim() as daemon, daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            request_id, _ = weighted.submit(16, deadline_us=1)
            client.expect_done(request_id, wire.DEADLINE, "deadline is in 1 us")
            now = counters(client)
            self.assertEqual((now["jobs_expired"], now["submissions"], now["jobs_inside"]), (1, 0, 0))
            weighted.expect_exact(weighted.submit(16, deadline_us=3_600_000_000))

    def test_a_deadline_passes_while_the_device_is_busy(self):
        """No slot is needed for that: the device is at its first batch, ten times as long as anybody expects."""
        with sim(sim_profile="origin-measured", sim_faults="slow@1", sim_scale=100) as daemon, \
                daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            slow = weighted.submit(16)
            client.ping()
            late, _ = weighted.submit(16, deadline_us=2_000_000)
            done, _ = client.done(late)
            self.assertEqual(done.status, wire.DEADLINE)
            self.assertIn("while it waited", done.text)
            self.assertEqual(counters(client)["submissions"], 1)  # the first is still there
            weighted.expect_exact(slow)

    def test_cancel_of_what_waits_is_at_once(self):
        with sim(sim_faults="slow@1", sim_scale=1000, policy="natural") as daemon, daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            slow = weighted.submit(16)
            client.ping()
            waiting, _ = weighted.submit(16)
            forming, _ = weighted.submit(16, more=True)
            for request_id in (waiting, forming):
                client.cancel(request_id)
                client.expect_done(request_id, wire.CANCELLED)
            self.assertEqual(counters(client)["jobs_inside"], 1)
            weighted.expect_exact(slow)

    def test_cancel_of_what_runs_is_at_the_next_slice(self):
        """On the CPU: what has not begun of a batch is left out."""
        with harness.Daemon({"batch-bound-us": 1000000}) as daemon, daemon.client() as client:
            job = scenes.ArenaJob(client, harness.scaled(4096, by=16), 512, 2048, oracle=False)
            other = scenes.ArenaJob(client, harness.scaled(4096, by=16), 512, 2048, oracle=False)
            first = client.matmul(*job.shape, *job.places, more=True)
            second = client.matmul(*other.shape, *other.places)
            client.cancel(second)
            client.expect_done(second, wire.CANCELLED)
            client.expect_done(first, wire.OK)
            now = counters(client)
            self.assertEqual((now["submissions"], now["jobs_cancelled"], now["jobs_ok"]), (1, 1, 1))

    def test_a_refused_job_ends_its_group(self):
        with harness.Daemon() as daemon, daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            jobs = [weighted.submit(16, more=True) for _ in range(2)]
            refused, _ = weighted.submit(16, weights=weighted.weights ^ 1)
            client.expect_done(refused, wire.NOT_FOUND)
            for job in jobs:
                weighted.expect_exact(job)

    def test_an_open_group_is_finished_when_the_daemon_stops(self):
        with harness.Daemon() as daemon, daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            job = weighted.submit(16, more=True)
            client.ping()
            self.assertEqual(counters(client)["jobs_ok"], 0)
            daemon.terminate()
            weighted.expect_exact(job)
            client.expect_bye(wire.OK, "stopping")

    def test_a_device_that_fails_once(self):
        with sim(sim_faults="error@2", sim_scale=100) as daemon, daemon.client() as client:
            weighted = Weighted(client, 64, 48)
            weighted.expect_exact(weighted.submit(16))
            request_id, _ = weighted.submit(16)
            client.expect_done(request_id, wire.DEVICE_ERROR, "submit it again")
            weighted.expect_exact(weighted.submit(16))

    def test_limits_of_one(self):
        """A credit of one, and one job a user."""
        with sim(jobs_per_connection=1, jobs_per_uid=1, sim_faults="slow@1", sim_scale=1000) as daemon, \
                daemon.client() as client, daemon.connect() as other:
            self.assertEqual(other.hello()["jobs"], 1)
            mine, others = Weighted(client, 64, 48), Weighted(other, 64, 48)
            running = mine.submit(16)
            refused, _ = mine.submit(16)
            client.expect_done(refused, wire.BUSY, "jobs-per-connection = 1")
            refused, _ = others.submit(16)
            other.expect_done(refused, wire.BUSY, "jobs-per-uid = 1")
            mine.expect_exact(running)
            others.expect_exact(others.submit(16))
            self.assertEqual(counters(client)["jobs_refused"], 2)


if __name__ == "__main__":
    harness.main()
