# SPDX-License-Identifier: MIT
"""Synchronous clients, each a process of its own, meet in one submission of the modelled NPU.

Whether they do depends on how soon each comes back, against what a submission costs: so this runs with the machine to
itself, and a build that is slow gets less to compute and a model that is slower still.
"""
import json
import os
import subprocess
import unittest

import harness
import wire

CLIENT = os.path.abspath(os.environ["NPUMM_CLIENT"])
SHAPE, SCALE = ("256,64,64", 2000) if harness.SLOW else ("1536,384,384", 400)


def jobs_per_submission(daemon, clients):
    run = subprocess.run([CLIENT, f"--socket={daemon.path}", "bench", "--scenario=single", f"--clients={clients}",
                          f"--shape={SHAPE}", "--seconds=8", "--warmup=3", "--json"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run
    return json.loads(run.stdout)["jobs_per_submission"]


class Meeting(unittest.TestCase):
    def test_four_clients_share_each_submission(self):
        with harness.Daemon({"backend": "sim", "sim-scale": SCALE}) as daemon, daemon.client() as client:
            held = jobs_per_submission(daemon, 4)
            print(f"hold: {held:.2f} jobs a submission, of 4 clients (model)")
            self.assertGreaterEqual(held, 3.8)
            # The same without the hold: else the device, and not the policy, would be what made them meet.
            client.expect(wire.SET_DONE, client.set("policy", "natural"))
            natural = jobs_per_submission(daemon, 4)
            print(f"natural: {natural:.2f}")
            self.assertLess(natural, 3)
            counters = json.loads(client.status())
            self.assertGreater(counters["hold_us"], 0)
            # One copy for all eight processes: it was kept from the first run for the second.
            self.assertEqual(counters["weights_packs"], 1)


if __name__ == "__main__":
    harness.main()
