# SPDX-License-Identifier: MIT
"""npumm-txn from the command line: what it prints, what it refuses, and with which exit code.

Expected words are written here from xclbin/README.md, not taken from the program.
"""
import os
import struct
import subprocess
import tempfile
import unittest

TXN = os.path.abspath(os.environ["NPUMM_TXN"])
HEADER = (0x06030100, 0x00000104)


def run(*args, stdin=b""):
    return subprocess.run([TXN, *args], input=stdin, capture_output=True, check=False)


def stream(*ops):
    words = [word for op in ops for word in op]
    return struct.pack(f"<{4 + len(words)}I", *HEADER, len(ops), 16 + 4 * len(words), *words)


def descriptor(column, number, n_bytes, word6=0):
    return (1, column, column << 25 | 0x1D000 + 32 * number, 48, n_bytes // 4, 0, 0, 0, 0x80000000, 0x02000000, word6,
            0x02000000)


def patch(column, number, arg, offset):
    return (0x81, 48, 0, 0, 0, 0, column << 25 | 0x1D004 + 32 * number, 0, arg, 0, offset, 0)


def push(column, queue, value):
    return (0, 0, column << 25 | queue, 0, value, 24)


TOKENS = (3, 0, 2 << 25 | 0x1D200, 0, 0xF00, 0x1F00, 28)
WAIT = (0x80, 16, 2 << 16, 0x00010100)
# From argument 0 by MM2S 0 of column 2, three times; to argument 1 by S2MM 0.
SOUND = (descriptor(2, 4, 4096), patch(2, 4, 0, 128), push(2, 0x1D214, 4 | 2 << 16),
         descriptor(2, 0, 1024), patch(2, 0, 1, 0), TOKENS, push(2, 0x1D204, 0x80000000), WAIT)


class Reading(unittest.TestCase):
    def test_dump(self):
        seen = run("dump", "-", stdin=stream(*SOUND))
        self.assertEqual((seen.returncode, seen.stderr), (0, b""))
        self.assertEqual(seen.stdout.decode().splitlines(), [
            "     0  header        version 0.1, generation 3 (npu1), 6 rows, 1 of memory tiles, 4 columns; 8 operations, "
            "300 bytes",
            "     4  block write   column 2 descriptor 4: 4096 bytes, bursts of 256",
            "    16  patch         column 2 descriptor 4: argument 0 + 128",
            "    28  push          column 2 MM2S0: descriptor 4, 3 times",
            "    34  block write   column 2 descriptor 0: 1024 bytes, bursts of 256",
            "    46  patch         column 2 descriptor 0: argument 1 + 0",
            "    58  masked write  column 2 S2MM0 control: tokens arrive",
            "    65  push          column 2 S2MM0: descriptor 0, gives a token",
            "    71  wait          column 2 S2MM0: a token"])

    def test_what_others_write(self):
        """Strides, other tiles, other waits; an extension that tells its size, and an operation that nobody knows."""
        strided = list(descriptor(0, 3, 512))
        strided[4 + 3] = 8 << 20 | 15
        others = stream(tuple(strided), (0, 0, 3 << 25 | 1 << 20 | 0xA0630, 0, 7, 24),
                        (3, 0, 2 << 20 | 0x32000, 0, 1, 3, 28), (4, 0, 0x1D220, 0, 0, 7 << 20, 28),
                        (0x80, 16, 1 | 2 << 8 | 1 << 16, 0x01020300), (0x84, 12, 99), (8, 0, 0, 0))
        seen = run("dump", "-", stdin=others)
        self.assertEqual((seen.returncode, seen.stderr), (0, b""))
        lines = seen.stdout.decode().splitlines()
        for line in ("     4  block write   column 0 descriptor 3: 512 bytes, bursts of 256, more than linear:",
                     "    16  write         column 3 row 1 (memory tile) register 0xa0630 = 0x7",
                     "    22  masked write  column 0 row 2 (core) register 0x32000 & 0x3 = 0x1",
                     "    29  wait          column 0 S2MM0 status & 0x700000 = 0x0",
                     "    36  wait          column 1 row 2 MM2S1: a token from each of 2 columns and 3 rows",
                     "    40  not understood: opcode 0x84 is not known",
                     "    43  not understood: opcode 0x8 is not known"):
            self.assertIn(line, lines)
        self.assertIn("00000084 0000000c 00000063", seen.stdout.decode())

    def test_bits_that_mean_nothing(self):
        for op, message in ((push(0, 0x1D214, 0x7F00FFF0), "a push of 0x7f00fff0 to column 0 MM2S0"),
                            ((0x80, 16, 0x05000000, 0x00010133), "a wait for tokens of 0x05000000, 0x00010133"),
                            ((0x80, 16, 2, 0x00010100), "a wait for tokens of 0x00000002, 0x00010100")):
            self.assertIn("     4  not understood: " + message,
                          run("dump", "-", stdin=stream(op)).stdout.decode().splitlines())
        other = list(descriptor(0, 3, 512))
        other[4 + 5] |= 1 << 28
        self.assertIn("more than linear", run("dump", "-", stdin=stream(tuple(other))).stdout.decode())
        self.assertIn("only npu1's version 0.1 is known",
                      run("dump", "-", stdin=b"\0\1\4\6" + stream()[4:]).stdout.decode())

    def test_any_bytes(self):
        for junk in (b"\0\0\0\0", b"\0" * 16, bytes(range(256)), b"\xff" * 4096):
            seen = run("dump", "-", stdin=junk)
            self.assertEqual((seen.returncode, seen.stderr), (0, b""), junk)
            self.assertTrue(seen.stdout)

    def test_text(self):
        words = struct.unpack("<75I", stream(*SOUND))
        for text in ("\n".join(f"{word:08X}" for word in words), " ".join(f"0x{word:x}" for word in words) + "\n"):
            self.assertEqual(run("dump", "-", stdin=text.encode()).stdout, run("dump", "-", stdin=stream(*SOUND)).stdout)

    def test_verify(self):
        seen = run("verify", "-", stdin=stream(*SOUND))
        self.assertEqual((seen.returncode, seen.stderr), (0, b""))
        self.assertIn(b"-: 75 words, 2 transfers", seen.stdout)
        for wrong, message in (
                (stream(*SOUND[:1], *SOUND[2:]), b"word 16: descriptor 4 of column 2 is pushed without a patch"),
                (stream(*SOUND[:-1]), b"word 65: the token of S2MM0 of column 2 is not waited for"),
                (stream(descriptor(2, 4, 4096, word6=1), *SOUND[1:]), b"word 4: word 6 of descriptor 4"),
                (stream(*SOUND)[:-4], b"word 3: the header promises 300 bytes, and there are 296"),
                (b"\0" * 300, b"word 0: header word 0 is 0x00000000")):
            seen = run("verify", "-", stdin=wrong)
            self.assertEqual((seen.returncode, seen.stdout), (1, b""))
            self.assertIn(b"npumm-txn: -: " + message, seen.stderr)
            self.assertEqual(seen.stderr.count(b"\n"), 1)

    def test_files_that_are_none(self):
        for stdin, code, message in ((b"abc\0\0", 1, b"5 bytes are no 32-bit words"), (b"", 1, b"0 bytes are no"),
                                     (b"12345678 123456789", 1, b"word 1 of the text is not"),
                                     (b"12x4", 1, b"word 0 of the text"),
                                     (b"\0" * ((16 << 20) + 1), 3, b"larger than any stream")):
            for command in ("dump", "verify"):
                seen = run(command, "-", stdin=stdin)
                self.assertEqual((seen.returncode, seen.stdout), (code, b""), (command, stdin[:20]))
                self.assertIn(message, seen.stderr)
        seen = run("dump", "/nowhere/at/all")
        self.assertEqual((seen.returncode, seen.stderr),
                         (3, b"npumm-txn: /nowhere/at/all: No such file or directory\n"))
        self.assertEqual(run("dump", "/").returncode, 3)


class Making(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "out.txn")

    def generate(self, *args):
        seen = run("generate", "-o", self.path, *args)
        self.assertEqual((seen.returncode, seen.stdout, seen.stderr), (0, b"", b""), args)
        with open(self.path, "rb") as file:
            return file.read()

    def test_generate(self):
        self.assertEqual(len(self.generate("500,512,512")), 2112)
        self.assertEqual(len(self.generate(*["1500,512,512"] * 16)), 28192)
        self.assertEqual(len(self.generate("tile16")), 300)
        polled, by_token = self.generate("257,64,1500"), self.generate("--flow=token", "257,64,1500")
        self.assertIn(b"room in its queue", run("dump", "-", stdin=polled).stdout)
        self.assertNotIn(b"room in its queue", run("dump", "-", stdin=by_token).stdout)
        self.assertIn(b"argument 3", run("dump", "-", stdin=self.generate("--streamed", "1,1,1")).stdout)
        for made in (polled, by_token):
            self.assertEqual(run("verify", "-", stdin=made).returncode, 0)

    def test_plan(self):
        seen = run("plan")
        self.assertEqual((seen.returncode, seen.stderr), (0, b""))
        text = seen.stdout.decode()
        self.assertIn("A model of an NPU", text.splitlines()[0])
        self.assertIn("nothing here was measured", text.splitlines()[0])
        self.assertGreater(len(text.splitlines()), 20)
        print(text)
        # 96 steps of 1.78 us behind 108 us; 12 macro-tiles; 16 tasks; and four of them stacked: 24 x 2 macro-tiles.
        row = run("plan", "1500,512,512").stdout.decode().splitlines()[-1].split()
        self.assertEqual(row[:6], ["1500,512,512", "12", "96", "16", "2112", "1"])
        self.assertEqual(row[6:8], [f"{108 + 96 * 1.78:.0f}", f"{(108 + 24 * 2 * 8 * 1.78) / 4:.0f}"])
        # 32 x 16 macro-tiles are two submissions.
        row = run("plan", "8192,64,4096").stdout.decode().splitlines()[-1].split()
        self.assertEqual((row[1], row[5]), ("512", "2"))

    def test_usage(self):
        for args, message in (((), b"which command?"), (("make",), b"\"make\" is no command"),
                              (("dump",), b"takes one FILE"), (("dump", "a", "b"), b"takes one FILE"),
                              (("plan", "1,2"), b"a shape is M,K,N"), (("plan", "0,1,1"), b"a shape is M,K,N"),
                              (("plan", "1,1,-1"), b"a shape is M,K,N"), (("plan", "1,1,1,1"), b"a shape is M,K,N"),
                              (("plan", "1,1,2147483648"), b"a shape is M,K,N"),
                              (("plan", "--flow=fast", "1,1,1"), b"poll and token are known"),
                              (("plan", "-o", "x"), b"--output is for generate"),
                              (("generate", "1,1,1"), b"where to?"), (("generate", "-o", "x"), b"give shapes"),
                              (("generate", "-o", "x", "tile16", "1,1,1"), b"give shapes")):
            seen = run(*args)
            self.assertEqual((seen.returncode, seen.stdout), (2, b""), args)
            self.assertIn(message, seen.stderr)

    def test_too_much(self):
        for args, message in ((["1,131073,1"], b"1,131073,1: K is over 131,072"),
                              (["1,131072,40000"], b"1,131072,40000: a resident B ends beyond 4 GiB"),
                              (["1,1,1", "1,131073,1"], b"1,131073,1: K is over 131,072"),
                              (["8192,64,4096"], b"need more than one batch")):
            seen = run("generate", "-o", self.path, *args)
            self.assertEqual((seen.returncode, seen.stdout), (1, b""), args)
            self.assertIn(message, seen.stderr)
        self.assertFalse(os.path.exists(self.path))
        seen = run("plan", "2147483647,64,2147483647", "--streamed")
        self.assertEqual(seen.returncode, 1)
        self.assertIn(b"more than 65536 submissions", seen.stderr)

    def test_output_that_cannot_be_written(self):
        self.assertEqual(run("generate", "-o", "/nowhere/at/all", "1,1,1").returncode, 3)
        seen = run("generate", "-o", "/dev/full", "1,1,1")
        self.assertEqual((seen.returncode, seen.stderr), (3, b"npumm-txn: /dev/full: No space left on device\n"))
        with open("/dev/full", "wb") as full:
            seen = subprocess.run([TXN, "plan", "1,1,1"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(seen.returncode, 3)
        self.assertIn(b"cannot write to stdout", seen.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
