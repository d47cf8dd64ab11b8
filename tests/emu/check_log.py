#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the log of an emulated NPU: is what programs asked of the driver in the order in which it must be?

usage: check_log.py [--allow-say] FILE

Role:  follows each process through the file that XDNAEMU_LOG named (README.md has its format), from OPEN to CLOSE or to
       its end: the device heap comes first; a context has AIE metadata before it and its program image behind it;
       commands are on living, configured contexts, with living buffer objects that no other command inside has as
       its packet; none comes after a command of the same context that was not taken, nor, if one was not COMPLETED,
       later than the one behind it, which may be inside before anybody has seen that end; nothing that a command inside
       has is closed, nor its context destroyed; what is waited for was started, and commands are waited for; at CLOSE
       nothing is left.
Out:   one line of counts. Exit code: 0 all is right; 1 the line that is not, and why; 2 wrong usage.

Who looks at a packet when its command has ended already need not wait, and looks are in no log: of commands in a row
some must have been waited for. Calls that failed change nothing, but for EXEC_CMD. Unless --allow-say is given,
the log is of a run in which nothing is to go wrong: there are commands; no call fails but for what is no failure
(MAY_FAIL); and the emulator had nothing to say on stderr (SAY), which is a mistake of somebody's.
"""
import collections
import re
import sys

AIE_METADATA = "1"
DEPTH = 2          # commands that our worker has inside
UNWAITED_MAX = 16  # commands in a row that had ended when they were looked at
UNWAITED_ALL = 4   # and if there was no wait at all
CALLS = {"CREATE_BO", "GET_BO_INFO", "SYNC_BO", "GEM_CLOSE", "GET_INFO", "GET_ARRAY", "CREATE_HWCTX", "CONFIG_HWCTX",
         "DESTROY_HWCTX", "SYNCOBJ_DESTROY", "SYNCOBJ_TIMELINE_WAIT", "EXEC_CMD", "CLOSE"}
MAY_FAIL = {("SYNCOBJ_TIMELINE_WAIT", "ETIME"),  # not yet
            ("CREATE_BO", "EAGAIN"),             # the heap is to grow first
            ("GET_INFO", "EOPNOTSUPP"), ("GET_ARRAY", "EOPNOTSUPP")}  # XRT asks for more than there is


class Wrong(Exception):
    pass


def expect(condition, why):
    if not condition:
        raise Wrong(why)


class Context:
    def __init__(self):
        self.image_bos = set()  # objects of type DEV made since: one of them is the program image
        self.is_configured = False
        self.spoiled = None     # a command that was not taken: nothing may be started on it any more
        self.failed_seq = None  # the first command that was not COMPLETED
        self.failed_state = None
        self.n_started = 0
        self.n_completed = 0
        self.n_waited = 0       # all before this one need no wait any more
        self.was_waited = False
        self.inside = {}        # seq: the objects of that command
        self.end_us = 0         # when the last one ended
        self.has_syncobj = True

    def failure(self):
        return f"state {self.failed_state} of seq {self.failed_seq}"

    def wait(self, seq):
        self.n_waited = max(self.n_waited, seq + 1)
        self.was_waited = True

    def expect_waits(self):
        """At its end, too: some were short."""
        expect(self.was_waited or self.n_completed < UNWAITED_ALL, "no command was ever waited for")


class Process:
    def __init__(self):
        self.bos = {}  # handle: type
        self.placed = set()  # handles whose address was asked for
        self.contexts = {}
        self.has_metadata = False
        self.is_gone = False

    def bo(self, handle):
        expect(handle in self.bos, f"there is no buffer object {handle}")
        return self.bos[handle]

    def context(self, handle):
        expect(handle in self.contexts, f"there is no context {handle}")
        return self.contexts[handle]

    def has_heap(self):
        return "DEV_HEAP" in self.bos.values()

    def inside(self):
        """Handles that commands inside have."""
        return {bo for context in self.contexts.values() for bos in context.inside.values() for bo in bos}

    # ---- what succeeded ----

    def create_bo(self, values):
        expect(values["type"] == "DEV_HEAP" or self.has_heap(), "the device heap comes first")
        expect(values["bo"] not in self.bos, "this handle is taken")
        self.bos[values["bo"]] = values["type"]
        if values["type"] == "DEV":
            for context in self.contexts.values():
                if not context.is_configured:
                    context.image_bos.add(values["bo"])

    def get_bo_info(self, values):
        self.bo(values["bo"])
        self.placed.add(values["bo"])

    def sync_bo(self, values):
        self.bo(values["bo"])

    def gem_close(self, values):
        self.bo(values["bo"])
        expect(values["bo"] not in self.inside(), "a command inside has it")
        del self.bos[values["bo"]]
        self.placed.discard(values["bo"])

    def get_info(self, values):
        self.has_metadata |= values["param"] == AIE_METADATA

    def get_array(self, values):
        pass

    def create_hwctx(self, values):
        expect(any(self.bos[bo] == "DEV_HEAP" for bo in self.placed), "a context before the device heap is mapped")
        expect(self.has_metadata, "a context before its AIE metadata")
        expect(values["ctx"] not in self.contexts, "this handle is taken")
        self.contexts[values["ctx"]] = Context()

    def config_hwctx(self, values):
        context = self.context(values["ctx"])
        expect(not context.is_configured, "it is configured already")
        expect(self.bo(values["bo"]) == "DEV", "a program image that is not in the device heap")
        expect(values["bo"] in context.image_bos, "a program image from before the context")
        expect(values["bo"] in self.placed, "a program image whose address nobody has asked for")
        context.is_configured = True

    def destroy_hwctx(self, values):
        context = self.context(values["ctx"])
        expect(not context.has_syncobj, "its syncobj is not destroyed")
        # The call itself waits for those inside: their ends stand before its line, which has when it began.
        expect(not context.inside and context.end_us <= values["us"], "a command is inside")
        context.expect_waits()
        del self.contexts[values["ctx"]]

    def syncobj_destroy(self, values):
        context = self.context(values["ctx"])
        expect(context.has_syncobj, "it is destroyed already")
        context.has_syncobj = False

    def exec_cmd(self, values):
        context = self.context(values["ctx"])
        bos = values["bos"].split(",")
        expect(context.is_configured, "a command before the program image")
        expect(context.spoiled is None, f"a command after {context.spoiled}")
        if context.failed_seq is not None and context.n_started >= context.failed_seq + DEPTH:
            raise Wrong(f"a command after {context.failure()}")
        expect(int(values["seq"]) == context.n_started, f"seq {context.n_started} was to come")
        expect(context.n_started - context.n_waited <= UNWAITED_MAX,
               f"since seq {context.n_waited} no command was waited for")
        expect(self.bo(values["cmd"]) == "CMD", "a packet that is no command object")
        expect(values["cmd"] not in self.inside(), "its packet is inside")
        kinds = [self.bo(bo) for bo in bos]
        expect("DEV" in kinds and "SHARE" in kinds, "no instructions, or no arguments")
        expect(all(bo in self.placed for bo in bos), "an object whose address nobody has asked for")
        context.inside[context.n_started] = {values["cmd"], *bos}
        context.n_started += 1

    def syncobj_timeline_wait(self, values):
        context = self.context(values["ctx"])
        expect(int(values["seq"]) < context.n_started, "it was not started")
        context.wait(int(values["seq"]))

    def close(self, values):
        expect(not self.contexts, f"contexts are left: {', '.join(sorted(self.contexts))}")
        expect(not self.bos, f"buffer objects are left: {', '.join(sorted(self.bos))}")

    # ---- and what is no call, or did not ----

    def end(self, values):
        context = self.contexts.get(values["ctx"])
        if context is None:
            return
        expect(context.inside.pop(int(values["seq"]), None) is not None, "it was not inside")
        context.end_us = values["us"]
        context.n_completed += values["state"] == "COMPLETED"
        if values["state"] != "COMPLETED" and context.failed_seq is None:
            context.failed_seq, context.failed_state = int(values["seq"]), values["state"]

    def failed(self, name, values, result):
        if result == "ENODEV":
            self.is_gone = True
        context = self.contexts.get(values.get("ctx"))
        if name == "EXEC_CMD" and context:
            context.spoiled = f"a command that was not taken ({result})"
        if name == "SYNCOBJ_TIMELINE_WAIT" and context:
            self.syncobj_timeline_wait(values)

    def finish(self):
        """It ended without CLOSE, or the log did."""
        for context in self.contexts.values():
            context.expect_waits()


class Log:
    def __init__(self, allow_say):
        self.allow_say = allow_say
        self.processes = {}  # pid: those that have the device open
        self.counts = collections.Counter()
        self.states = collections.Counter()

    def line(self, text):
        call, result = re.fullmatch(r"(.*?)(?: = (\w+))?", text).groups()
        match = re.fullmatch(r"(\d+) (\d+) (\w+)( .*)?", call)
        expect(match is not None, "it is no line of a log")
        us, pid, name, arguments = match.groups(default="")
        if name == "SAY":
            expect(self.allow_say, "the emulator had something to say")
            return
        values = dict(word.partition("=")[::2] for word in arguments.split())
        values["us"] = int(us)
        expect(result is None if name == "END" else name in CALLS | {"OPEN"} and result is not None,
               "it is no call that XRT makes")
        expect(self.allow_say or result in (None, "0") or (name, result) in MAY_FAIL or pid in self.processes and
               name == "OPEN", f"it failed ({result})")
        if name == "OPEN":
            self.open(pid, result)
            return
        process = self.processes.get(pid)
        expect(process is not None, "its process does not have the device open")
        self.counts[name] += result in (None, "0")
        if name == "END":
            self.states[values["state"]] += 1
            process.end(values)
        elif result != "0":
            process.failed(name, values, result)
        else:
            expect(not process.is_gone or name == "CLOSE", "it succeeds, and the device is gone")
            if name != "CLOSE" or not process.is_gone:
                getattr(process, name.lower())(values)
        if name == "CLOSE":
            del self.processes[pid]

    def open(self, pid, result):
        expect(pid not in self.processes, "the device is open already")
        self.counts["OPEN"] += result == "0"
        if result == "0":
            self.processes[pid] = Process()

    def finish(self):
        for process in self.processes.values():
            process.finish()
        expect(self.allow_say or self.counts["EXEC_CMD"] > 0, "no command was ever taken")

    def summary(self):
        states = " ".join(f"{state}={n}" for state, n in sorted(self.states.items()))
        return (f"opens={self.counts['OPEN']} contexts={self.counts['CREATE_HWCTX']} "
                f"commands={self.counts['EXEC_CMD']} {states}".rstrip())


def main(arguments):
    allow_say = "--allow-say" in arguments
    files = [argument for argument in arguments if argument != "--allow-say"]
    if len(files) != 1 or files[0].startswith("-"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    log = Log(allow_say)
    with open(files[0], encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                log.line(line.rstrip("\n"))
            except Wrong as wrong:
                print(f"{files[0]}:{number}: {wrong}\n{line.rstrip()}")
                return 1
            except KeyError as missing:
                print(f"{files[0]}:{number}: {missing} is missing\n{line.rstrip()}")
                return 1
    try:
        log.finish()
    except Wrong as wrong:
        print(f"{files[0]}: at its end: {wrong}")
        return 1
    print(log.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
