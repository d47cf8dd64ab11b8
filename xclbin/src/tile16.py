#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tile16.py - the array of the original single tile (../README.md, section 9), written for mlir-aie 1.3.2.

Role:   prints the design as MLIR; ../build.sh gives it to aiecc. One core of column 0 between its shim's
        channels. The daemon makes the instruction stream; the sequence here is there because the compiler wants one.

Written from mlir-aie's sources and never compiled, as stream64.py.
"""

import sys

from aie.dialects.aie import AIEDevice, ObjectFifoPort, core, device, external_func, object_fifo, tile
from aie.dialects.aiex import dma_await_task, dma_start_task, runtime_sequence, shim_dma_single_bd_task
from aie.extras import types as T
from aie.extras.context import mlir_mod_ctx
from aie.iron.controlflow import range_

TILE = 16 * 16
DEPTH = 2
STACK_BYTES = 0x400  # the kernel keeps nothing on it


def array():
    in_type = T.memref(2 * TILE, T.i8())
    out_type = T.memref(TILE, T.i8())
    run = external_func("tile16_run", inputs=[in_type, out_type], link_with="tile16.o")

    shim = tile(0, 0)
    compute = tile(0, 2)
    in_lane = object_fifo("in", shim, compute, DEPTH, in_type)
    out_lane = object_fifo("out", compute, shim, DEPTH, out_type)

    @core(compute, stack_size=STACK_BYTES)
    def _():
        for _ in range_(sys.maxsize):
            source = in_lane.acquire(ObjectFifoPort.Consume, 1)
            result = out_lane.acquire(ObjectFifoPort.Produce, 1)
            run(source, result)
            in_lane.release(ObjectFifoPort.Consume, 1)
            out_lane.release(ObjectFifoPort.Produce, 1)

    @runtime_sequence(in_type, out_type)
    def sequence(source, result):
        fill = shim_dma_single_bd_task(in_lane, source, sizes=[1, 1, 1, 2 * TILE])
        drain = shim_dma_single_bd_task(out_lane, result, sizes=[1, 1, 1, TILE], issue_token=True)
        dma_start_task(fill, drain)
        dma_await_task(drain)


def main():
    with mlir_mod_ctx() as context:
        device(AIEDevice.npu1)(array)
        print(context.module)


if __name__ == "__main__":
    main()
