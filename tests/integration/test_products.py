# SPDX-License-Identifier: MIT
"""Products through npumm-client and a real daemon, against NumPy.

Each case runs through arenas and inline. The oracle is NumPy in this file: exact sums by float64 products (all sums
stay below 2^53, where float64 is exact), and the output forms written out as proto/README.md defines them.
"""
import os
import pathlib
import secrets
import subprocess
import tempfile
import unittest

import numpy as np

import harness

CLIENT = os.path.abspath(os.environ["NPUMM_CLIENT"])
SEED = int(os.environ.get("NPUMM_TEST_SEED", "0"), 0) or secrets.randbits(32)


def exact(a, b):
    return np.rint(a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def int8_form(total, shift, rounding):
    unit = 1 << shift
    whole, rest = np.divmod(total, unit)
    if rounding == "nearest-even":
        up = (2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1))
        whole = whole + up
    return np.clip(whole, -128, 127).astype(np.int8)


def float32_form(total, row_scale, col_scale, bias):
    value = total.astype(np.int32).astype(np.float32)
    if row_scale is not None:
        value = value * row_scale.reshape(-1, 1)
    if col_scale is not None:
        value = value * col_scale.reshape(1, -1)
    if bias is not None:
        value = value + bias.reshape(1, -1)
    assert value.dtype == np.float32
    return value


def tile16_form(a, b):
    total = np.zeros((a.shape[0], b.shape[1]), dtype=np.int64)
    for k in range(0, a.shape[1], 16):
        total += np.clip(exact(a[:, k:k + 16], b[k:k + 16]) // 128, -128, 127)
    return np.clip(total, -128, 127).astype(np.int8)


class Products(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"test_products: NPUMM_TEST_SEED={SEED} repeats this run", flush=True)
        cls.rng = np.random.default_rng(SEED)
        cls.daemon = harness.Daemon({"inline-bytes": "256M"})
        cls.daemon.__enter__()
        cls.temporary = tempfile.TemporaryDirectory(prefix="npumm-products-")
        cls.folder = pathlib.Path(cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()
        cls.daemon.__exit__(None, None, None)

    def matrix(self, rows, cols, order="C"):
        return np.asarray(self.rng.integers(-128, 128, (rows, cols), dtype=np.int8), order=order)

    def vector(self, n):
        return self.rng.uniform(-2, 2, n).astype(np.float32)

    def product(self, a, b, *options, **vectors):
        """What npumm-client makes of the files; called once for arenas and once inline, which must agree."""
        np.save(self.folder / "a.npy", a)
        np.save(self.folder / "b.npy", b)
        options = list(options)
        for name, vector in vectors.items():
            if vector is not None:
                np.save(self.folder / f"{name}.npy", vector)
                options.append(f"--{name.replace('_', '-')}={self.folder / name}.npy")
        results = []
        for way in ([], ["--inline"]):
            out = self.folder / "c.npy"
            run = subprocess.run([CLIENT, f"--socket={self.daemon.path}", "matmul", self.folder / "a.npy",
                                  self.folder / "b.npy", "-o", out, *options, *way],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""), way)
            results.append(np.load(out))
            out.unlink()
        self.assertEqual(results[0].dtype, results[1].dtype)
        self.assertEqual(results[0].tobytes(), results[1].tobytes(), "arena and inline differ")
        return results[0]

    def check_int32(self, m, k, n, a=None, b=None):
        a = self.matrix(m, k) if a is None else a
        b = self.matrix(k, n) if b is None else b
        c = self.product(a, b)
        self.assertEqual((c.dtype, c.shape), (np.dtype(np.int32), (m, n)))
        np.testing.assert_array_equal(c, exact(a, b))

    def test_whisper_base_projection(self):
        self.check_int32(500, 512, 512)

    def test_one_element(self):
        self.check_int32(1, 1, 1)

    def test_ragged(self):
        self.check_int32(17, 33, 5)

    def test_one_row_wide(self):
        self.check_int32(1, 512, 51865)

    def test_large(self):
        self.check_int32(harness.scaled(1500), 512, 2048)

    def test_greatest_k(self):
        self.check_int32(3, 131071, 2)

    def test_all_least(self):
        a = np.full((17, 4096), -128, dtype=np.int8)
        b = np.full((4096, 31), -128, dtype=np.int8)
        self.check_int32(17, 4096, 31, a, b)

    def test_all_least_at_greatest_k(self):
        a = np.full((2, 131071), -128, dtype=np.int8)
        b = np.full((131071, 3), -128, dtype=np.int8)
        self.check_int32(2, 131071, 3, a, b)

    def test_fortran_order(self):
        for a_order in "CF":
            for b_order in "CF":
                with self.subTest(a=a_order, b=b_order):
                    self.check_int32(37, 130, 65, self.matrix(37, 130, a_order), self.matrix(130, 65, b_order))

    def test_transposed_b(self):
        for b_order in "CF":
            with self.subTest(b=b_order):
                a, b = self.matrix(70, 129), self.matrix(66, 129, b_order)
                np.testing.assert_array_equal(self.product(a, b, "--transposed-b"), exact(a, b.T))

    def test_int8(self):
        a, b = self.matrix(65, 300), self.matrix(300, 77)
        total = exact(a, b)
        for rounding in ("floor", "nearest-even"):
            for shift in (0, 1, 7, 11, 14, 31):
                with self.subTest(rounding=rounding, shift=shift):
                    c = self.product(a, b, "--output=int8", f"--shift={shift}", f"--rounding={rounding}")
                    self.assertEqual(c.dtype, np.int8)
                    np.testing.assert_array_equal(c, int8_form(total, shift, rounding))

    def test_int8_ties(self):
        # Every sum is a small multiple of 1/2 of the unit, of either sign: nothing but ties and whole numbers.
        a = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1)
        b = np.array([[64, -64, 32, 1]], dtype=np.int8)
        for rounding in ("floor", "nearest-even"):
            c = self.product(a, b, "--output=int8", "--shift=7", f"--rounding={rounding}")
            np.testing.assert_array_equal(c, int8_form(exact(a, b), 7, rounding))

    def test_float32(self):
        a, b = self.matrix(41, 515), self.matrix(515, 63)
        total = exact(a, b)
        row_scale, col_scale, bias = self.vector(41), self.vector(63), self.vector(63)
        for given in range(8):
            vectors = {"row_scale": row_scale if given & 1 else None, "col_scale": col_scale if given & 2 else None,
                       "bias": bias if given & 4 else None}
            with self.subTest(given=given):
                c = self.product(a, b, "--output=float32", **vectors)
                self.assertEqual(c.dtype, np.float32)
                self.assertEqual(c.tobytes(), float32_form(total, **vectors).tobytes())

    def test_float32_of_sums_that_round(self):
        # Sums above 2^24 do not fit a float32: (float)sum itself must round to nearest even.
        a = np.full((4, 131071), 127, dtype=np.int8)
        a[1, :1], a[2, :2], a[3, :3] = 126, 125, 124
        b = np.full((131071, 3), 127, dtype=np.int8)
        c = self.product(a, b, "--output=float32")
        self.assertEqual(c.tobytes(), float32_form(exact(a, b), None, None, None).tobytes())

    def test_tile16_shift7(self):
        for m, k, n in ((16, 16, 16), (33, 512, 48), (17, 33, 5), (1, 1, 1), (5, 131071, 2)):
            with self.subTest(m=m, k=k, n=n):
                a, b = self.matrix(m, k), self.matrix(k, n)
                c = self.product(a, b, "--output=tile16-shift7")
                self.assertEqual(c.dtype, np.int8)
                np.testing.assert_array_equal(c, tile16_form(a, b))

    def test_forms_with_transposed_b(self):
        a, b = self.matrix(30, 100), self.matrix(20, 100)
        np.testing.assert_array_equal(self.product(a, b, "--transposed-b", "--output=tile16-shift7"),
                                      tile16_form(a, b.T))
        np.testing.assert_array_equal(self.product(a, b, "--transposed-b", "--output=int8", "--shift=9"),
                                      int8_form(exact(a, b.T), 9, "floor"))


if __name__ == "__main__":
    harness.main()
