# SPDX-License-Identifier: MIT
"""npumm-client as a person or a script meets it: exit codes, one line on stderr, files refused by name."""
import io
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

import numpy as np

import harness

CLIENT = os.path.abspath(os.environ["NPUMM_CLIENT"])


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon()
        cls.daemon.__enter__()
        cls.temporary = tempfile.TemporaryDirectory(prefix="npumm-cli-")
        cls.folder = pathlib.Path(cls.temporary.name)
        np.save(cls.folder / "a.npy", np.arange(12, dtype=np.int8).reshape(3, 4))
        np.save(cls.folder / "b.npy", np.arange(20, dtype=np.int8).reshape(4, 5))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()
        cls.daemon.__exit__(None, None, None)

    def run_client(self, *arguments, socket=None, env=None):
        arguments = [f"--socket={socket or self.daemon.path}", *map(str, arguments)] if socket != "" else arguments
        environment = {key: value for key, value in os.environ.items() if key != "NPUMM_SOCKET"}
        return subprocess.run([CLIENT, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env={**environment, **(env or {})}, check=False)

    def refused(self, code, *arguments, says=(), **how):
        """It fails with `code` and exactly one line, which has all the words of `says`."""
        run = self.run_client(*arguments, **how)
        self.assertEqual(run.returncode, code, run)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertTrue(run.stderr.startswith("npumm-client: "), run.stderr)
        for word in says:
            self.assertIn(word, run.stderr)

    # -- what works --

    def test_matmul(self):
        run = self.run_client("matmul", "a.npy", "b.npy", "-o", "c.npy")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
        np.testing.assert_array_equal(np.load(self.folder / "c.npy"),
                                      np.arange(12).reshape(3, 4) @ np.arange(20).reshape(4, 5))

    def test_class_and_deadline(self):
        for terms in (["--class=interactive"], ["--class=bulk", "--deadline-us=3600000000"], ["--deadline-us=0"]):
            with self.subTest(terms=terms):
                run = self.run_client("matmul", "a.npy", "b.npy", "-o", "terms.npy", *terms)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.product((self.folder / "terms.npy").read_bytes())

    def product(self, content):
        """The file `content` holds a.npy times b.npy, and nothing behind it."""
        stream = io.BytesIO(content)
        np.testing.assert_array_equal(np.load(stream), np.arange(12).reshape(3, 4) @ np.arange(20).reshape(4, 5))
        self.assertEqual(stream.read(), b"")

    def test_a_descriptor_is_written_where_it_stands(self):
        """Redirected to a file, /dev/stdout is that file as the shell opened it: not replaced, not truncated."""
        path = self.folder / "redirected"
        for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "stdout.link"):
            with self.subTest(name=name), open(path, "w+b") as stream:
                (self.folder / "stdout.link").unlink(missing_ok=True)
                (self.folder / "stdout.link").symlink_to("/dev/stdout")
                stream.write(b"before")
                stream.flush()
                run = subprocess.run([CLIENT, f"--socket={self.daemon.path}", "matmul", "a.npy", "b.npy", "-o", name],
                                     cwd=self.folder, stdin=subprocess.DEVNULL, stdout=stream, check=False)
                self.assertEqual(run.returncode, 0)
                self.assertEqual(os.fstat(stream.fileno()).st_ino, path.stat().st_ino)
                content = path.read_bytes()
                self.assertEqual(content[:6], b"before")
                self.product(content[6:])

    def test_a_descriptor_that_cannot_be_written(self):
        self.refused(1, "matmul", "a.npy", "b.npy", "-o", "/dev/fd/77", says=["/dev/fd/77", "Bad file descriptor"])

    def test_links_stay(self):
        (self.folder / "made-later").mkdir()
        (self.folder / "relative").symlink_to("made-later/../made-later/link")
        (self.folder / "made-later" / "link").symlink_to("relative.npy")
        (self.folder / "absolute").symlink_to(self.folder / "made-later" / "absolute.npy")
        for name in ("relative", "absolute", "relative"):  # the third time its target exists
            with self.subTest(name=name):
                run = self.run_client("matmul", "a.npy", "b.npy", "-o", name)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.assertTrue((self.folder / name).is_symlink())
                target = self.folder / "made-later" / f"{name}.npy"
                self.assertFalse(target.is_symlink())
                self.product(target.read_bytes())
        self.assertTrue((self.folder / "made-later" / "link").is_symlink())
        self.assertEqual(sorted(os.listdir(self.folder / "made-later")), ["absolute.npy", "link", "relative.npy"])

    def test_links_in_a_circle(self):
        (self.folder / "round").symlink_to("about")
        (self.folder / "about").symlink_to("round")
        self.refused(1, "matmul", "a.npy", "b.npy", "-o", "round", says=["round", "symbolic links"])

    def test_socket_from_the_environment(self):
        run = self.run_client("ping", socket="", env={"NPUMM_SOCKET": self.daemon.path})
        self.assertEqual(run.returncode, 0, run)

    def test_ping(self):
        run = self.run_client("ping")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("backend cpu", run.stdout)
        self.assertIn(f"by {os.environ.get('NPUMM_TRANSPORT', 'socket')},", run.stdout)

    def test_transport_from_the_environment(self):
        for transport in ("socket", "ring"):
            run = self.run_client("ping", env={"NPUMM_TRANSPORT": transport})
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            self.assertIn(f" by {transport},", run.stdout)
        run = self.run_client("ping", env={"NPUMM_TRANSPORT": "pigeon"})
        self.assertEqual(run.returncode, 3)
        self.assertIn('"pigeon"', run.stderr)

    def test_status_json(self):
        run = self.run_client("status", "--json")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        status = json.loads(run.stdout)
        for key in ("backend", "device_state", "submissions", "jobs", "jobs_per_submission", "buffer_syncs",
                    "matrix_copies", "queue_depth", "connections", "arena_bytes", "loop_held_max_us"):
            self.assertIn(key, status)
        self.assertEqual((status["backend"], status["device_state"]), ("cpu", "ok"))
        self.assertEqual(status["connections"], 1)

    def test_status_counts(self):
        before = json.loads(self.run_client("status", "--json").stdout)
        self.assertEqual(self.run_client("matmul", "a.npy", "b.npy", "-o", "counted.npy").returncode, 0)
        after = json.loads(self.run_client("status", "--json").stdout)
        self.assertEqual(after["jobs"] - before["jobs"], 1)
        self.assertEqual(after["submissions"] - before["submissions"], 1)

    def test_status_for_people(self):
        run = self.run_client("status")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertRegex(run.stdout, r"(?m)^backend +cpu$")
        self.assertRegex(run.stdout, rf"(?m)^user {os.getuid()}: device busy .*, 0 jobs wait$")

    def test_versions_and_help(self):
        for arguments in (["--version"], ["--help"], ["matmul", "--help"], ["ping", "--help"], ["status", "--help"],
                          ["bench", "--help"], ["set", "--help"], ["selftest", "--help"]):
            with self.subTest(arguments=arguments):
                run = self.run_client(*arguments)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.assertTrue(run.stdout)

    # -- usage: 2 --

    def test_usage(self):
        for arguments in ([], ["frobnicate"], ["matmul"], ["matmul", "a.npy"], ["matmul", "a.npy", "b.npy"],
                          ["matmul", "a.npy", "b.npy", "c.npy", "-o", "d.npy"], ["ping", "extra"],
                          ["status", "--yaml"], ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--output=int4"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--output=int8", "--shift=32"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--output=int8", "--shift=-1"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--output=int8", "--shift=x"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--output=int8", "--rounding=up"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--class=idle"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--deadline-us=3600000001"],
                          ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--deadline-us="],
                          ["set"], ["set", "policy"], ["set", "=hold"], ["set", "policy=hold", "more=less"],
                          ["selftest", "extra"], ["selftest", "--json"],
                          ["matmul", "a.npy", "b.npy", "-o", ""], ["matmul", "a.npy", "b.npy", "-o", "nodir/"]):
            with self.subTest(arguments=arguments):
                self.refused(2, *arguments)

    # -- files: 2 --

    def test_missing_file(self):
        self.refused(2, "matmul", "nowhere.npy", "b.npy", "-o", "c.npy", says=["nowhere.npy", "No such file"])

    def test_terminals_get_printable_ascii(self):
        self.refused(2, "matmul", "a\x1b[2J\n\x7f\u00e9.npy", "b.npy", "-o", "c.npy", says=["a?[2J????.npy"])

    def test_shapes_that_do_not_fit(self):
        self.refused(2, "matmul", "a.npy", "a.npy", "-o", "c.npy", says=["4", "3"])

    def test_k_too_large(self):
        np.save(self.folder / "wide.npy", np.zeros((1, 131072), dtype=np.int8))
        np.save(self.folder / "tall.npy", np.zeros((131072, 1), dtype=np.int8))
        self.refused(2, "matmul", "wide.npy", "tall.npy", "-o", "c.npy", says=["131072", "131071"])

    def test_bad_files(self):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((4, 5), dtype=np.int8))
        good = buffer.getvalue()
        objects = io.BytesIO()
        np.save(objects, np.array([[{}]], dtype=object), allow_pickle=True)
        structured = io.BytesIO()
        np.save(structured, np.zeros((4, 5), dtype=[("x", np.int8)]))
        overflowing = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            overflowing, {"descr": "|i1", "fortran_order": False, "shape": (4294967296, 4294967296)})

        def other(array):
            stream = io.BytesIO()
            np.save(stream, array)
            return stream.getvalue()

        cases = {
            "empty": (b"", ["truncated", "0 bytes"]),
            "not a npy": (b"hello, world, this is no array" * 9, ["not a .npy file"]),
            "header cut": (good[:40], ["truncated", "header"]),
            "data cut": (good[:-1], ["truncated", "19 of 20 bytes"]),
            "data too long": (good + b"x", ["after its last element"]),
            "version 9": (good[:6] + b"\x09" + good[7:], ["version 9.0"]),
            "header length": (good[:8] + struct.pack("<H", 65535) + good[10:], ["truncated", "header"]),
            "uint8": (other(np.zeros((4, 5), dtype=np.uint8)), ["u1"]),
            "int16": (other(np.zeros((4, 5), dtype=np.int16)), ["i2"]),
            "float32": (other(np.zeros((4, 5), dtype=np.float32)), ["f4"]),
            "one dimension": (other(np.zeros(20, dtype=np.int8)), ["one dimension"]),
            "three dimensions": (other(np.zeros((2, 2, 5), dtype=np.int8)), ["3 dimensions"]),
            "no elements": (other(np.zeros((4, 0), dtype=np.int8)), ["dimension of 0"]),
            "pickled objects": (objects.getvalue(), ["pickled"]),
            "structured": (structured.getvalue(), ["structured"]),
            "shape overflows": (overflowing.getvalue(), ["more elements than memory"]),
        }
        for name, (content, says) in cases.items():
            with self.subTest(file=name):
                (self.folder / "bad.npy").write_bytes(content)
                self.refused(2, "matmul", "a.npy", "bad.npy", "-o", "never.npy", says=["bad.npy", *says])
                self.assertFalse((self.folder / "never.npy").exists())

    def test_bad_vectors(self):
        for array in (np.zeros(4, dtype=np.float32), np.zeros(5, dtype=np.float64), np.zeros((5, 2), dtype=np.float32),
                      np.zeros(5, dtype=">f4"), np.zeros(5, dtype=np.int8)):
            with self.subTest(dtype=array.dtype, shape=array.shape):
                np.save(self.folder / "v.npy", array)
                self.refused(2, "matmul", "a.npy", "b.npy", "-o", "never.npy", "--output=float32", "--bias=v.npy",
                             says=["v.npy"])

    # -- no connection: 3 --

    def test_no_daemon(self):
        for arguments in (["ping"], ["status"], ["set", "policy=hold"], ["selftest"], ["selftest", "--any-device"],
                          ["matmul", "a.npy", "b.npy", "-o", "never.npy"]):
            with self.subTest(arguments=arguments):
                self.refused(3, *arguments, socket=self.folder / "nowhere.sock", says=["nowhere.sock"])
        self.assertFalse((self.folder / "never.npy").exists())

    # -- the job or the daemon failed: 1 --

    def test_set(self):
        before = json.loads(self.run_client("status", "--json").stdout)["policy"]
        for policy in ("natural", before):
            run = self.run_client("set", f"policy={policy}")
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
            self.assertEqual(json.loads(self.run_client("status", "--json").stdout)["policy"], policy)
        self.refused(1, "set", "policy=bogus", says=["bogus"])
        self.refused(1, "set", "policy=", says=["natural"])

    def test_set_what_there_is_not(self):
        self.refused(1, "set", "no-such-setting=5", says=["no-such-setting"])
        self.refused(1, "set", f"{'k' * 33}=5", says=["33 characters"])

    def test_over_a_limit(self):
        with harness.Daemon({"bytes-per-uid": "4K"}) as small:
            np.save(self.folder / "big.npy", np.zeros((300, 300), dtype=np.int8))
            for way in ([], ["--inline"]):
                self.refused(1, "matmul", "big.npy", "big.npy", "-o", "never.npy", *way, socket=small.path,
                             says=["bytes-per-uid"])

    def test_what_the_library_would_say_to_programs(self):
        """The command line has no NPUMM_MATMUL_INLINE and no npumm_info."""
        np.save(self.folder / "big.npy", np.zeros((300, 300), dtype=np.int8))
        for config, way, says in (({"inline-bytes": "64K"}, ["--inline"], "leave --inline out"),
                                  ({"arena-bytes": "64K"}, [], "multiply smaller matrices")):
            with self.subTest(config=config), harness.Daemon(config) as small:
                run = self.run_client("matmul", "big.npy", "big.npy", "-o", "never.npy", *way, socket=small.path)
                self.assertEqual((run.returncode, run.stderr.count("\n")), (1, 1), run)
                self.assertIn(says, run.stderr)
                self.assertNotIn("npumm_", run.stderr.lower())

    def test_old_daemon(self):
        """It speaks 1.0, where only the option that asks for more is at fault."""
        with harness.OldDaemon(self.folder / "old.sock") as old:
            run = self.run_client("matmul", "a.npy", "b.npy", "-o", "never.npy", "--inline", "--deadline-us=5",
                                  socket=old.path)
            self.assertEqual((run.returncode, run.stderr),
                             (1, "npumm-client: the daemon is too old for deadlines: leave --deadline-us out\n"))

    def test_output_that_cannot_be_written(self):
        self.refused(1, "matmul", "a.npy", "b.npy", "-o", "no-such-folder/c.npy", says=["no-such-folder"])

    def test_a_failure_keeps_the_old_output(self):
        (self.folder / "kept.npy").write_bytes(b"precious")
        self.refused(3, "matmul", "a.npy", "b.npy", "-o", "kept.npy", socket=self.folder / "nowhere.sock")
        self.assertEqual((self.folder / "kept.npy").read_bytes(), b"precious")


if __name__ == "__main__":
    harness.main()
