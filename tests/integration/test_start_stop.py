# SPDX-License-Identifier: MIT
"""A daemon's start beside others, and its end against those who would put it off."""
import os
import socket
import subprocess
import tempfile
import time
import unittest

import numpy

import harness
import wire
from wire import Place


class Start(unittest.TestCase):
    def check_config(self, *options, **environment):
        env = {key: value for key, value in os.environ.items() if key != "NPUMM_SOCKET"}
        run = subprocess.run([harness.daemon_program(), "--check-config", *options], env={**env, **environment},
                             capture_output=True, text=True, check=True)
        return run.stdout.splitlines()

    def test_socket_from_the_environment(self):
        self.assertIn("#socket = /run/npumatmul/npumatmul.sock", self.check_config())
        self.assertIn("socket = /tmp/there", self.check_config(NPUMM_SOCKET="/tmp/there"))
        self.assertIn("socket = /tmp/here", self.check_config("--socket=/tmp/here", NPUMM_SOCKET="/tmp/there"))

    def test_a_path_that_somebody_serves_without_a_lock(self):
        """systemd's socket has no PATH.lock; a daemon started by hand must not take its place."""
        with socket.socket(socket.AF_UNIX) as listener:
            folder = tempfile.mkdtemp(prefix="npumm-test-")
            path = os.path.join(folder, "sock")
            listener.bind(path)
            listener.listen(1)
            run = subprocess.run([harness.daemon_program(), f"--socket={path}", "--backend=cpu"],
                                 capture_output=True, text=True, check=False)
            self.assertEqual(run.returncode, 1)
            self.assertIn("somebody listens at", run.stderr)
            with socket.socket(socket.AF_UNIX) as client:  # the path is still the other's
                client.connect(path)
            os.unlink(path)
            os.unlink(path + ".lock")
            os.rmdir(folder)


class Stop(unittest.TestCase):
    def test_a_slow_reader_does_not_put_off_the_end(self):
        """Its last words are a large product, of which it takes a little now and then."""
        settings = {"stall_timeout_ms": 500, "drain_timeout_ms": 60000, "bytes_per_uid": "64M"}
        with harness.Daemon(settings) as daemon:
            client = daemon.client()
            a, b = numpy.ones((2000, 1), numpy.int8), numpy.ones((1, 2000), numpy.int8)
            raw = a.tobytes() + b.tobytes()
            client.send(wire.MATMUL, wire.matmul_control(2000, 1, 2000, Place(), Place(offset=a.size), Place()), raw)
            other = daemon.client()
            harness.eventually(lambda: b'"jobs_ok": 1,' in other.status().replace(b"\n", b""))
            daemon.terminate()
            until = time.monotonic() + harness.PATIENCE
            while daemon.is_alive():
                self.assertLess(time.monotonic(), until, "16 MB at 80 KB/s would take minutes")
                try:
                    client.sock.recv(4096)
                except OSError:
                    pass
                time.sleep(0.05)  # this is how slow it reads
            daemon.expect_exit(0)

    def test_a_log_that_nobody_reads(self):
        """Clients make it log; the pipe is full after some hundred lines, and then it is gone."""
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        shell = ["/bin/sh", "-c", f'exec "$@" 2>&{writer}', "sh"]
        try:
            with harness.Daemon({"connections": 4}, command=shell, pass_fds=[writer]) as daemon:
                os.close(writer)
                bystander = daemon.client()
                for _ in range(harness.scaled(2000)):
                    with daemon.connect() as garbage:
                        garbage.send_raw(b"garbage" * 8)
                        garbage.expect_bye(wire.PROTOCOL)
                bystander.ping()
                os.close(reader)
                reader = -1
                with daemon.connect() as garbage:
                    garbage.send_raw(b"garbage" * 8)
                    garbage.expect_bye(wire.PROTOCOL)
                bystander.ping()
        finally:
            if reader >= 0:
                os.close(reader)


if __name__ == "__main__":
    harness.main()
