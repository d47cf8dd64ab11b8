#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
design.py ROOT - the array designs build what xclbin/README.md says, as far as a recorder can see (fake/python).

Expectations are written from the contract: its table of lanes, its buffers, its loop, its manifest.
"""

import collections
import configparser
import contextlib
import io
import pathlib
import re
import runpy
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fake" / "python"))
import aie  # noqa: E402

A, B, C = "memref<1040xi32>", "memref<4096xi8>", "memref<4096xi32>"
FOR_EVER = 2**63 - 1


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}:\n  found    {found}\n  expected {expected}")


def build(name):
    aie.DESIGN.__init__()
    with contextlib.redirect_stdout(io.StringIO()) as text:
        runpy.run_path(str(ROOT / "xclbin" / "src" / f"{name}.py"), run_name="__main__")
    check(f"{name}: what is printed", text.getvalue(), f"{aie.DESIGN}\n")
    check(f"{name}: device", aie.DESIGN.device.name, "npu1")
    return aie.DESIGN


def fifo(design, name):
    found = design.fifos[name]
    return (found.producer, sorted(found.consumers), found.depth, found.type)


def channels(design):
    """As the compiler gives them out: at each tile from 0 on, in the order of the object FIFOs."""
    lanes, used = {}, collections.Counter()
    for name, found in design.fifos.items():
        used[(found.producer, "MM2S")] += 1
        for consumer in found.consumers:
            used[(consumer, "S2MM")] += 1
        for (column, row), direction in ((found.producer, "MM2S"), (found.consumers[0], "S2MM")):
            if row == 0:
                lanes[name] = f"{column}:{direction}{used[((column, row), direction)] - 1}"
    return lanes, used


def check_manifest(name, lanes):
    manifest = configparser.ConfigParser()
    manifest.read(ROOT / "xclbin" / "manifest.ini")
    check(f"{name}: channels", lanes, dict(lane.split("=") for lane in manifest[name]["channels"].split()))


def bytes_of(kind):
    count, width = re.fullmatch(r"memref<(\d+)xi(\d+)>", kind).groups()
    return int(count) * int(width) // 8


def check_stream64():
    design = build("stream64")
    check("functions", design.functions, {
        "stream64_zero": ([C], "stream64.o"),
        "stream64_step": ([A, B, C], "stream64.o"),
    })
    links = []
    for j in range(4):
        memory, column, row = (j, 1), [(j, 2 + i) for i in range(4)], [(i, 2 + j) for i in range(4)]
        check(f"A{j}", fifo(design, f"A{j}"), ((j, 0), [memory], 2, A))
        check(f"A{j} to its row", fifo(design, f"A{j}_row"), (memory, row, 2, A))
        check(f"B{j}", fifo(design, f"B{j}"), ((j, 0), [memory], 2, B))
        check(f"B{j} to its column", fifo(design, f"B{j}_column"), (memory, column, 2, B))
        for i in range(4):
            check(f"C of ({i}, {j})", fifo(design, f"C{j}_core{i}"), (column[i], [memory], 2, C))
        check(f"C{j}", fifo(design, f"C{j}"), (memory, [(j, 0)], 2, "memref<16384xi32>"))
        joined = [f"C{j}_core{i}" for i in range(4)]
        links += [([f"A{j}"], [f"A{j}_row"], [], []), ([f"B{j}"], [f"B{j}_column"], [], [])]
        links.append((joined, [f"C{j}"], [0, 4096, 8192, 12288], []))
    check("object FIFOs", len(design.fifos), 4 * (2 + 2 + 5))
    check("links", sorted(design.links), sorted(links))
    lanes, used = channels(design)
    check_manifest("stream64", lanes)

    check("cores", sorted(design.cores), [(j, 2 + i) for j in range(4) for i in range(4)])
    for (j, row), (options, body) in design.cores.items():
        a, b, c = f"A{row - 2}_row", f"B{j}_column", f"C{j}_core{row - 2}"
        acquire = [("acquire", "Consume", a), ("acquire", "Consume", b)]
        step = [("call", "stream64_step", a, b, c), ("release", "Consume", a), ("release", "Consume", b)]
        check(f"options of ({j}, {row})", options, {"stack_size": 3328, "dynamic_objfifo_lowering": True})
        check(f"loop of ({j}, {row})", body, [("for", 0, FOR_EVER, [
            ("acquire", "Produce", c),
            ("call", "stream64_zero", c),
            *acquire,
            ("load", a),
            *step,
            ("for", 1, f"{a}[0]", acquire + step),
            ("release", "Produce", c),
        ])])
        size = options["stack_size"] + sum(
            found.depth * bytes_of(found.type)
            for found in design.fifos.values() if (j, row) in [found.producer, *found.consumers]
        )
        check(f"bytes of ({j}, {row})", size, 52608)
    for j in range(4):
        check(f"channels of memory tile {j}", (used[((j, 1), "S2MM")], used[((j, 1), "MM2S")]), (6, 3))
        check(f"channels of shim {j}", (used[((j, 0), "S2MM")], used[((j, 0), "MM2S")]), (1, 2))

    lengths = {"A": (0, 1040), "B": (1, 4096), "C": (2, 16384)}
    check("arguments", design.sequence_types, ("memref<4160xi32>", "memref<16384xi8>", "memref<65536xi32>"))
    check("sequence", design.sequence, [
        (f"{lane}{j}", lengths[lane][0], j * lengths[lane][1], [1, 1, 1, lengths[lane][1]], lane == "C")
        for lane in "CAB" for j in range(4)
    ] + [("wait", f"C{j}") for j in range(4)])


def check_tile16():
    design = build("tile16")
    source, result = "memref<512xi8>", "memref<256xi8>"
    check("functions", design.functions, {"tile16_run": ([source, result], "tile16.o")})
    check("in", fifo(design, "in"), ((0, 0), [(0, 2)], 2, source))
    check("out", fifo(design, "out"), ((0, 2), [(0, 0)], 2, result))
    check_manifest("tile16", channels(design)[0])
    check("core", design.cores, {(0, 2): ({"stack_size": 1024}, [("for", 0, FOR_EVER, [
        ("acquire", "Consume", "in"),
        ("acquire", "Produce", "out"),
        ("call", "tile16_run", "in", "out"),
        ("release", "Consume", "in"),
        ("release", "Produce", "out"),
    ])])})
    check("sequence", design.sequence, [
        ("in", 0, 0, [1, 1, 1, 512], False), ("out", 1, 0, [1, 1, 1, 256], True), ("wait", "out")
    ])


check_stream64()
check_tile16()
print("both designs are as the contract has them")
