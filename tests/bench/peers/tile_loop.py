#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client process of bench-peers in Python, without a daemon: see worker.h for what it is told and answers.

    tile_loop.py tiles         one call for each 16x16x16 tile: the way of the programs that npumatmuld is for, with
                               NumPy in place of their device
    tile_loop.py numpy-int32   one int32 product
    tile_loop.py numpy-float32 one float32 product by BLAS, with both casts; exact for K <= 1024

Tiles are cut, padded and cast once, before the clock runs: what is timed is calls and sums alone.
"""
import sys
import time

try:
    import numpy as np
except ImportError:
    sys.exit(77)  # and no answer to anything

T = 16


def has_fast_blas():
    """The distribution's NumPy comes with a reference BLAS unless another is installed: to beat it says nothing."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        return any(name in line for line in maps for name in ("openblas", "blis", "mkl"))


def load(folder, name, dtype, rows, cols):
    return np.fromfile(f"{folder}/{name}", dtype=dtype).reshape(rows, cols)


def cut(matrix):
    """Tiles [i][j] of the matrix, padded with zeros, as contiguous int32."""
    rows, cols = (-(-size // T) * T for size in matrix.shape)
    padded = np.zeros((rows, cols), np.int32)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return [[np.ascontiguousarray(padded[i : i + T, j : j + T]) for j in range(0, cols, T)] for i in range(0, rows, T)]


def multiply_tile(a, b):
    return a @ b


def tiles(a, b):
    a_tiles, b_tiles = cut(a), cut(b)
    c = np.empty((len(a_tiles) * T, len(b_tiles[0]) * T), np.int32)

    def product():
        for i, row in enumerate(a_tiles):
            for j in range(len(b_tiles[0])):
                total = np.zeros((T, T), np.int32)
                for k, a_tile in enumerate(row):
                    total += multiply_tile(a_tile, b_tiles[k][j])
                c[i * T : (i + 1) * T, j * T : (j + 1) * T] = total
        return c[: a.shape[0], : b.shape[1]]

    return product


def numpy_int32(a, b):
    a, b = a.astype(np.int32), b.astype(np.int32)
    return lambda: a @ b


def numpy_float32(a, b):
    b = b.astype(np.float32)  # weights: once
    return lambda: (a.astype(np.float32) @ b).astype(np.int32)


def run(product, expected, start_ns, end_ns):
    time.sleep(max(0, start_ns - time.monotonic_ns()) / 1e9)
    took_ns, n_in_time = [], 0
    since_ns = time.monotonic_ns()
    while True:
        c = product()
        now_ns = time.monotonic_ns()
        n_in_time += now_ns < end_ns
        if now_ns < end_ns or not took_ns:
            took_ns.append(now_ns - since_ns)
        if now_ns >= end_ns:
            break
        since_ns = now_ns
    took_ns.sort()
    p50, p99 = (took_ns[int(q * (len(took_ns) - 1) + 0.5)] / 1e3 for q in (0.5, 0.99))
    print(f"done {n_in_time} {p50:.3f} {p99:.3f} {int(not np.array_equal(c, expected))}", flush=True)


def main():
    make = {"tiles": tiles, "numpy-int32": numpy_int32, "numpy-float32": numpy_float32}[sys.argv[1]]
    product = expected = None
    if make is numpy_float32 and not has_fast_blas():
        sys.exit(77)
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "task":
            m, k, n = map(int, words[1:4])
            expected = load(words[6], "c", np.int32, m, n)
            product = make(load(words[6], "a", np.int8, m, k), load(words[6], "b", np.int8, k, n))
            print("ready", flush=True)
        else:
            run(product, expected, int(words[1]), int(words[2]))


main()
