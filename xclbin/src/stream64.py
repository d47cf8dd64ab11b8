#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
stream64.py - the array of the batch format (../README.md, sections 1 and 5), written for mlir-aie 1.3.2.

Role:   prints the design as MLIR; ../build.sh gives it to aiecc. Streams of instructions are made by the daemon: the
        sequence here, one macro-tile with Kt = 1, is there because the compiler wants one.
Names:  an object FIFO at a shim is called as the lane in ../manifest.ini, A0 to C3: by these names build.sh finds which
        channels the compiler gave them.

Written from mlir-aie's sources and never compiled. Tests run it with a
recorder in mlir-aie's place (tests/xclbin/fake/python), which shows the structure and no more. What only the compiler
can show:
- that it leaves the loop over an object's steps alone (dynamic_objfifo_lowering). The trip count is data, so it cannot
  be unrolled. Every core asks for it: aiecc's option for all of them has changed its meaning between versions;
- that a core's loop to sys.maxsize is counted in 64 bits: 2^32 macro-tiles are half a day's work;
- where buffers lie. No scheme is asked for: aiecc first keeps to memory banks, then puts one behind the other.
"""

import sys

from aie.dialects import memref
from aie.dialects.aie import AIEDevice, ObjectFifoPort, core, device, external_func, object_fifo, object_fifo_link, tile
from aie.dialects.aiex import dma_await_task, dma_start_task, runtime_sequence, shim_dma_single_bd_task
from aie.extras import types as T
from aie.extras.context import mlir_mod_ctx
from aie.extras.dialects.arith import constant
from aie.iron.controlflow import range_

COLUMNS = 4
ROWS = 4
DEPTH = 2  # objects of each kind at either end of every link
TILE = 64 * 64
A_WORDS = 16 + TILE // 4  # an A object: header, tile
STACK_BYTES = 0xD00  # with the buffers 52,608 of a core's 65,536 B


def core_loop(a_fifo, b_fifo, c_fifo, zero, step):
    """Section 5. The number of steps is word 0 of a macro-tile's first A object."""

    def multiply(a, b, c):
        step(a, b, c)
        a_fifo.release(ObjectFifoPort.Consume, 1)
        b_fifo.release(ObjectFifoPort.Consume, 1)

    def acquire():
        return a_fifo.acquire(ObjectFifoPort.Consume, 1), b_fifo.acquire(ObjectFifoPort.Consume, 1)

    for _ in range_(sys.maxsize):
        c = c_fifo.acquire(ObjectFifoPort.Produce, 1)
        zero(c)
        a, b = acquire()
        steps = memref.load(a, [constant(0, index=True)])  # before it is released
        multiply(a, b, c)
        for _ in range_(1, steps):
            multiply(*acquire(), c)
        c_fifo.release(ObjectFifoPort.Produce, 1)


def array():
    a_type = T.memref(A_WORDS, T.i32())
    b_type = T.memref(TILE, T.i8())
    c_type = T.memref(TILE, T.i32())
    c_joined_type = T.memref(ROWS * TILE, T.i32())
    zero = external_func("stream64_zero", inputs=[c_type], link_with="stream64.o")
    step = external_func("stream64_step", inputs=[a_type, b_type, c_type], link_with="stream64.o")

    shims = [tile(j, 0) for j in range(COLUMNS)]
    memories = [tile(j, 1) for j in range(COLUMNS)]
    cores = [[tile(j, 2 + i) for j in range(COLUMNS)] for i in range(ROWS)]

    # In this order at each shim: the compiler gives out its channels from 0 on, A's is MM2S 0 and B's MM2S 1.
    a_lanes, b_lanes, c_lanes, a_fifos, b_fifos, c_fifos = [], [], [], [], [], []
    for j in range(COLUMNS):
        a_lanes.append(object_fifo(f"A{j}", shims[j], memories[j], DEPTH, a_type))
        a_fifos.append(object_fifo(f"A{j}_row", memories[j], cores[j], DEPTH, a_type))
        object_fifo_link(a_lanes[j], a_fifos[j])
    for j in range(COLUMNS):
        b_lanes.append(object_fifo(f"B{j}", shims[j], memories[j], DEPTH, b_type))
        b_fifos.append(object_fifo(f"B{j}_column", memories[j], [row[j] for row in cores], DEPTH, b_type))
        object_fifo_link(b_lanes[j], b_fifos[j])
    for j in range(COLUMNS):
        c_fifos.append([object_fifo(f"C{j}_core{i}", cores[i][j], memories[j], DEPTH, c_type) for i in range(ROWS)])
        c_lanes.append(object_fifo(f"C{j}", memories[j], shims[j], DEPTH, c_joined_type))
        object_fifo_link(c_fifos[j], c_lanes[j], [i * TILE for i in range(ROWS)], [])

    for i in range(ROWS):
        for j in range(COLUMNS):

            @core(cores[i][j], stack_size=STACK_BYTES, dynamic_objfifo_lowering=True)
            def _():
                core_loop(a_fifos[i], b_fifos[j], c_fifos[j][i], zero, step)

    @runtime_sequence(
        T.memref(COLUMNS * A_WORDS, T.i32()),
        T.memref(COLUMNS * TILE, T.i8()),
        T.memref(COLUMNS * ROWS * TILE, T.i32()),
    )
    def sequence(a, b, c):
        waits = []
        for lanes, matrix, length, token in (
            (c_lanes, c, ROWS * TILE, True),
            (a_lanes, a, A_WORDS, False),
            (b_lanes, b, TILE, False),
        ):
            for j, lane in enumerate(lanes):
                task = shim_dma_single_bd_task(
                    lane, matrix, offset=j * length, sizes=[1, 1, 1, length], issue_token=token
                )
                dma_start_task(task)
                if token:
                    waits.append(task)
        dma_await_task(*waits)


def main():
    with mlir_mod_ctx() as context:
        device(AIEDevice.npu1)(array)
        print(context.module)


if __name__ == "__main__":
    main()
