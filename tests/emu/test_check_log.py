# SPDX-License-Identifier: MIT
"""check_log.py finds what is out of order, and takes what is not."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().with_name("check_log.py")

# A whole life, as XRT's shim leads it.
GOOD = """\
1 9 OPEN profile=xdna-1.8 tdr_ms=2000 strict=0 seed=1 = 0
2 9 CREATE_BO type=DEV_HEAP size=67108864 bo=1 = 0
3 9 GET_BO_INFO bo=1 address=0x4000000 = 0
4 9 GET_INFO param=1 = 0
5 9 CREATE_HWCTX tiles=16 ctx=1 = 0
6 9 CREATE_BO type=DEV size=104 bo=2 = 0
7 9 GET_BO_INFO bo=2 address=0x4000000 = 0
8 9 CONFIG_HWCTX ctx=1 param=0 bo=2 = 0
9 9 CREATE_BO type=DEV size=1632 bo=3 = 0
10 9 GET_BO_INFO bo=3 address=0x4001000 = 0
11 9 CREATE_BO type=SHARE size=16640 bo=4 = 0
12 9 GET_BO_INFO bo=4 address=0x10080000000 = 0
13 9 CREATE_BO type=CMD size=4096 bo=5 = 0
14 9 EXEC_CMD ctx=1 cmd=5 bos=3,4 seq=0 n=1 fault=none = 0
15 9 SYNCOBJ_TIMELINE_WAIT ctx=1 seq=0 = ETIME
17 9 END ctx=1 seq=0 n=1 state=COMPLETED fault=none us=1 steps=16 dropped=0 clean=1
16 9 SYNCOBJ_TIMELINE_WAIT ctx=1 seq=0 = 0
18 9 EXEC_CMD ctx=1 cmd=5 bos=3,4 seq=1 n=2 fault=none = 0
19 9 END ctx=1 seq=1 n=2 state=COMPLETED fault=none us=1 steps=16 dropped=0 clean=1
20 9 GEM_CLOSE bo=4 = 0
21 9 GEM_CLOSE bo=3 = 0
22 9 GEM_CLOSE bo=5 = 0
23 9 GEM_CLOSE bo=2 = 0
24 9 SYNCOBJ_DESTROY ctx=1 = 0
25 9 DESTROY_HWCTX ctx=1 = 0
26 9 GEM_CLOSE bo=1 = 0
27 9 CLOSE = 0
"""


def exec_line(seq, us=18):
    return f"{us} 9 EXEC_CMD ctx=1 cmd=5 bos=3,4 seq={seq} n={seq + 1} fault=none = 0\n"


def end_line(seq, state="COMPLETED", us=19):
    return f"{us} 9 END ctx=1 seq={seq} n={seq + 1} state={state} fault=none us=1 steps=16 dropped=0 clean=1\n"


def wait_line(seq, result="0"):
    return f"18 9 SYNCOBJ_TIMELINE_WAIT ctx=1 seq={seq} = {result}\n"


def run(text, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        log.write(text)
    try:
        return subprocess.run([sys.executable, CHECK, *options, log.name], capture_output=True, text=True,
                              check=False)
    finally:
        os.unlink(log.name)


class CheckLog(unittest.TestCase):
    def expect_wrong(self, line, why, text, *options):
        """`text` is refused at that line (from 1), or at its end."""
        result = run(text, *options)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(f".log:{line}: {why}" if line else f".log: at its end: {why}", result.stdout)

    def expect_right(self, text, *options):
        result = run(text, *options)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def expect_right_only_among_faults(self, line, why, text):
        self.expect_wrong(line, why, text)
        self.expect_right(text, "--allow-say")

    def without(self, *numbers):
        return "".join(line for number, line in enumerate(GOOD.splitlines(True), 1) if number not in numbers)

    def test_good(self):
        result = run(GOOD)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(result.stdout, "opens=1 contexts=1 commands=2 COMPLETED=2\n")

    def test_two_processes(self):
        lines = []
        for line in GOOD.splitlines(True):
            lines += [line, line.replace(" 9 ", " 10 ", 1)]
        self.assertEqual(run("".join(lines)).returncode, 0)

    def test_a_process_that_ends(self):
        self.assertEqual(run(self.without(*range(18, 28))).returncode, 0)

    def test_each_line_is_needed(self):
        """What a missing line makes of the rest: the number of the line that is refused then."""
        for number, line, why in ((1, 1, "its process does not"), (2, 2, "there is no buffer object 1"),
                                  (3, 4, "a context before the device heap is mapped"),
                                  (4, 4, "a context before its AIE metadata"), (5, 7, "there is no context"),
                                  (6, 6, "there is no buffer"), (7, 7, "a program image whose address"),
                                  (8, 13, "a command before the program image"),
                                  (10, 13, "an object whose address"), (13, 13, "there is no buffer object 5"),
                                  (14, 14, "it was not started"), (16, 17, "its packet is inside"),
                                  (19, 19, "a command inside has it"), (20, 26, "buffer objects are left: 4"),
                                  (24, 24, "its syncobj"), (25, 26, "contexts are left: 1")):
            with self.subTest(number):
                self.expect_wrong(line, why, self.without(number))

    def test_after_another_state(self):
        """The next may be inside already, or be started before its end was seen, and no more; whatever the state."""
        for state in ("ERROR", "ABORT", "TIMEOUT", "NEW"):
            with self.subTest(state):
                lines = GOOD.replace("state=COMPLETED", f"state={state}", 1).splitlines(True)
                self.expect_right("".join(lines))
                self.expect_right("".join(lines[:16] + lines[17:]))  # without the wait
                self.expect_wrong(20, f"a command after state {state} of seq 0",
                                  "".join(lines[:19] + [exec_line(2)] + lines[19:]))
                self.expect_wrong(19, f"a command after state {state} of seq 0",
                                  "".join(lines[:16] + lines[17:19] + [exec_line(2)] + lines[19:]))

    def test_after_a_command_that_was_not_taken(self):
        self.expect_wrong(19, "a command after a command that was not taken (EINVAL)",
                          GOOD.replace("18 9", "17 9 EXEC_CMD ctx=1 cmd=5 bos=3,4 = EINVAL\n18 9", 1), "--allow-say")

    def test_nothing_is_waited_for(self):
        """Some may have ended when they were looked at; not all of many."""
        lines = GOOD.splitlines(True)
        self.expect_right("".join(lines[:14] + [lines[15]] + lines[17:]))
        begin, end = lines[:13], lines[19:]
        few = [line(seq) for seq in range(4) for line in (exec_line, end_line)]
        self.expect_wrong(27, "no command was ever waited for", "".join(begin + few + end))
        self.expect_wrong(0, "no command was ever waited for", "".join(begin + few))
        self.expect_right("".join(begin + few[:7] + [wait_line(3)] + few[7:] + end))
        many = [line(seq) for seq in range(1, 19) for line in (exec_line, end_line)]
        for result in ("0", "ETIME"):
            one = [exec_line(0), wait_line(0, result), end_line(0)]
            self.expect_wrong(13 + 3 + 2 * 17 + 1, "since seq 1 no command was waited for",
                              "".join(begin + one + many + end))
            self.expect_right("".join(begin + one + many[:20] + [wait_line(10)] + many[20:] + end))

    def test_unknown_calls(self):
        for call in ("UNKNOWN request=0x6442 = ENOTTY", "UNKNOWN request=0x6442 = 0", "HAS_HEAP = 0", "INSIDE = 0",
                     "END ctx=1 seq=7 = 0", "GEM_CLOSE bo=4"):
            with self.subTest(call):
                text = GOOD.replace("20 9", f"20 9 {call}\n20 9", 1)
                self.expect_wrong(20, "it is no call that XRT makes", text)
                self.expect_wrong(20, "it is no call that XRT makes", text, "--allow-say")

    def test_failures(self):
        """On a run without faults only what is no failure."""
        for call, result in (("SYNC_BO bo=9 direction=to offset=0 size=1", "ENOENT"),
                             ("CONFIG_HWCTX ctx=1 param=0 bo=2", "EINVAL"), ("GEM_CLOSE bo=9", "EINVAL"),
                             ("CREATE_HWCTX tiles=16", "EINVAL"), ("CREATE_BO type=SHARE size=1", "ENOMEM"),
                             ("GET_BO_INFO bo=9", "ENOENT"), ("SYNCOBJ_TIMELINE_WAIT ctx=1 seq=0", "ENOENT"),
                             ("DESTROY_HWCTX ctx=1", "EBUSY"), ("SYNC_BO bo=4", "ETIME")):
            with self.subTest(call):
                self.expect_right_only_among_faults(20, f"it failed ({result})",
                                                    GOOD.replace("20 9", f"20 9 {call} = {result}\n20 9", 1))
        self.expect_right_only_among_faults(1, "it failed (EACCES)",
                                            GOOD.replace("1 9", "0 9 OPEN profile=a = EACCES\n1 9", 1))
        for call in ("CREATE_BO type=DEV size=1 = EAGAIN", "GET_INFO param=4 = EOPNOTSUPP",
                     "GET_ARRAY param=4 = EOPNOTSUPP", "SYNCOBJ_TIMELINE_WAIT ctx=1 seq=0 = ETIME"):
            self.expect_right(GOOD.replace("20 9", f"20 9 {call}\n20 9", 1))

    def test_destroyed_with_a_command_inside(self):
        """Whether it is still there, or the call itself has waited for it."""
        lines = GOOD.splitlines(True)
        destroy = [lines[23], lines[24]]
        self.expect_wrong(20, "a command is inside", "".join(lines[:18] + destroy))
        late = lines[18].replace("19 9", "26 9")
        self.expect_wrong(21, "a command is inside", "".join(lines[:18] + [lines[23], late, lines[24]]))
        self.expect_right("".join(lines[:18] + [lines[23], lines[18], lines[24]]))

    def test_no_command(self):
        self.expect_right_only_among_faults(0, "no command was ever taken", "")
        lines = GOOD.splitlines(True)
        self.expect_right_only_among_faults(0, "no command was ever taken", "".join(lines[:13] + lines[19:]))

    def test_image_of_before(self):
        lines = GOOD.splitlines(True)
        lines.insert(3, lines.pop(5))
        self.expect_wrong(8, "a program image from before the context", "".join(lines))

    def test_open_twice(self):
        for result in ("0", "EBUSY"):
            self.expect_wrong(5, "the device is open already",
                              GOOD.replace("5 9", f"5 9 OPEN profile=a = {result}\n5 9", 1))

    def test_gone(self):
        lines = GOOD.splitlines(True)
        gone = "18 9 EXEC_CMD ctx=1 cmd=5 bos=3,4 = ENODEV\n"
        self.expect_right_only_among_faults(18, "it failed (ENODEV)", "".join(lines[:17]) + gone + "27 9 CLOSE = 0\n")
        self.expect_wrong(19, "it succeeds, and the device is gone", "".join(lines[:17]) + gone + lines[19],
                          "--allow-say")

    def test_say(self):
        self.expect_right_only_among_faults(18, "the emulator had something to say",
                                            GOOD.replace("18 9", "17 9 SAY command 1 hangs: a = 0\n18 9", 1))

    def test_not_a_log(self):
        self.expect_wrong(1, "it is no line of a log", "hello\n")
        self.expect_wrong(2, "'ctx' is missing", GOOD.splitlines(True)[0] + "2 9 DESTROY_HWCTX = 0\n")
        self.assertEqual(subprocess.run([sys.executable, CHECK], capture_output=True, check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()
