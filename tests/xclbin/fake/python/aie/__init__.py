# SPDX-License-Identifier: MIT
"""
aie - a recorder in the place of mlir-aie's Python bindings: the few names that the designs use.

Role:   writes down what a design builds, and refuses what the compiler's verifier would refuse in it: calls with objects
        of other types, objects that are used after their release, FIFOs that were acquired and not released.
Never:  compiles or lowers anything. That the real names behave like this is an assumption, from mlir-aie's sources.
"""

import contextlib
import enum
import sys
import types



def module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents, __path__=[])


class Design:
    """All that one design has built."""

    def __init__(self):
        self.device = None
        self.functions = {}  # name: (input types, object file)
        self.fifos = {}  # name: ObjectFifo, in order
        self.links = []  # (names in, names out, offsets in, offsets out)
        self.cores = {}  # tile: (options, body)
        self.sequence = []  # (lane, argument, offset, sizes, token), and ("wait", lane)
        self.sequence_types = ()
        self.body = None  # of the core being built: a list of operations, loops being lists in it

    def __str__(self):
        lines = [f"aie.device({self.device.name})"]
        for fifo in self.fifos.values():
            ends = " ".join(f"{column},{row}" for column, row in [fifo.producer, *fifo.consumers])
            lines.append(f"aie.objectfifo {fifo.name} {fifo.depth} {fifo.type} {ends}")
        lines += [f"aie.core {column},{row}" for column, row in self.cores]
        return "\n".join(lines)


DESIGN = Design()


class Value:
    def __init__(self, kind, name):
        self.kind, self.name, self.is_alive = kind, name, True

    def use(self):
        assert self.is_alive, f"{self.name} is used after its release"
        return self.name


ObjectFifoPort = enum.Enum("ObjectFifoPort", "Produce Consume")
AIEDevice = enum.Enum("AIEDevice", "npu1 npu2")


class ObjectFifo:
    def __init__(self, name, producer, consumers, depth, kind):
        self.name, self.producer, self.depth, self.type = name, producer, depth, kind
        self.consumers = consumers if isinstance(consumers, list) else [consumers]
        self.held = None
        assert name not in DESIGN.fifos, f"{name} is there already"
        DESIGN.fifos[name] = self

    def acquire(self, port, n):
        assert n == 1 and self.held is None, f"{self.name} is acquired twice"
        self.held = Value(self.type, self.name)
        DESIGN.body.append(("acquire", port.name, self.name))
        return self.held

    def release(self, port, n):
        assert n == 1 and self.held is not None, f"{self.name} is released and not acquired"
        self.held.is_alive, self.held = False, None
        DESIGN.body.append(("release", port.name, self.name))


def object_fifo_link(sources, targets, source_offsets=(), target_offsets=()):
    def names(fifos):
        return [fifo.name for fifo in (fifos if isinstance(fifos, list) else [fifos])]

    DESIGN.links.append((names(sources), names(targets), list(source_offsets), list(target_offsets)))


def external_func(name, inputs, link_with):
    DESIGN.functions[name] = (inputs, link_with)

    def call(*arguments):
        assert [value.kind for value in arguments] == inputs, f"{name} takes {inputs}"
        DESIGN.body.append(("call", name, *[value.use() for value in arguments]))

    return call


def constant(value, index=False):
    return Value("index" if index else "i32", value)


def load(buffer, indices):
    assert all(index.kind == "index" for index in indices)
    value = Value(buffer.kind.rsplit("x", 1)[1].rstrip(">"), f"{buffer.name}{[index.name for index in indices]}")
    DESIGN.body.append(("load", buffer.use()))
    return value


def range_(start, stop=None):
    start, stop = (0, start) if stop is None else (start, stop)
    outer, DESIGN.body = DESIGN.body, []
    outer.append(("for", start, stop.use() if isinstance(stop, Value) else stop, DESIGN.body))
    yield Value("index", "i")
    DESIGN.body = outer


def core(tile, **options):
    def build(body):
        assert tile not in DESIGN.cores, f"{tile} has a core already"
        DESIGN.body = []
        body()
        DESIGN.cores[tile] = (options, DESIGN.body)
        DESIGN.body = None
        assert all(fifo.held is None for fifo in DESIGN.fifos.values()), f"{tile} keeps an object for ever"

    return build


def device(kind):
    def build(body):
        DESIGN.device = kind
        body()

    return build


def runtime_sequence(*kinds):
    def build(body):
        DESIGN.sequence_types = kinds
        body(*[Value(kind, i) for i, kind in enumerate(kinds)])

    return build


def shim_dma_single_bd_task(lane, argument, offset=0, sizes=None, issue_token=False):
    return (lane.name, argument.name, offset, sizes, issue_token)


def dma_start_task(*tasks):
    DESIGN.sequence.extend(tasks)


def dma_await_task(*tasks):
    assert all(token for *_, token in tasks), "only tasks with a token can be waited for"
    DESIGN.sequence.extend(("wait", lane) for lane, *_ in tasks)


@contextlib.contextmanager
def mlir_mod_ctx():
    yield types.SimpleNamespace(module=DESIGN)


module("aie.dialects")
module("aie.dialects.memref", load=load)
module(
    "aie.dialects.aie",
    AIEDevice=AIEDevice,
    ObjectFifoPort=ObjectFifoPort,
    core=core,
    device=device,
    external_func=external_func,
    object_fifo=ObjectFifo,
    object_fifo_link=object_fifo_link,
    tile=lambda column, row: (column, row),
)
module(
    "aie.dialects.aiex",
    dma_await_task=dma_await_task,
    dma_start_task=dma_start_task,
    runtime_sequence=runtime_sequence,
    shim_dma_single_bd_task=shim_dma_single_bd_task,
)
module("aie.extras")
module("aie.extras.types", i8=lambda: "i8", i32=lambda: "i32", memref=lambda n, kind: f"memref<{n}x{kind}>")
module("aie.extras.context", mlir_mod_ctx=mlir_mod_ctx)
module("aie.extras.dialects")
module("aie.extras.dialects.arith", constant=constant)
module("aie.iron")
module("aie.iron.controlflow", range_=range_)
sys.modules["aie.dialects"].memref = sys.modules["aie.dialects.memref"]
sys.modules["aie.extras"].types = sys.modules["aie.extras.types"]
