#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An emulated NPU for tests: its folder, its environment, what goes wrong with it, what it was asked.

usage: emulated.py [--preload] COMMAND...   runs COMMAND with an NPU of its own, then judges the NPU's log

Role:  makes what tests/emu needs; counts and checks what it has logged. As a program: for tests that know nothing of
       NPUs, whose daemons then have one (NPUMM_TEST_SETTINGS, NPUMM_TEST_PRELOAD: tests/integration/harness.py), or,
       with --preload, that open the device themselves.
In:    NPUMM_XDNAEMU (the library), NPUMM_TEST_MANIFEST, NPUMM_TEST_WORKER, NPUMM_SANITIZER_RUNTIME, NPUMM_CHECK_LOG.
Never: says anything about an NPU's speed: emulation.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MANIFEST = os.environ.get("NPUMM_TEST_MANIFEST", "")
WORKER = os.environ.get("NPUMM_TEST_WORKER", "")
# Products take the emulation a hundred times longer than any NPU: submissions are not cut by that.
SETTINGS = {"backend": "xrt", "npu-worker": WORKER, "npu-manifest": MANIFEST, "npu-check": "always",
            "batch-bound-us": 1000000, "npu-timeout-ms": 60000}


def preload():
    """For LD_PRELOAD."""
    return " ".join(filter(None, [os.environ.get("NPUMM_SANITIZER_RUNTIME"), os.environ["NPUMM_XDNAEMU"]]))


class Npu:
    """One emulated NPU: several processes may open it."""

    def __init__(self, *, profile="xdna-1.8", strict=False, tdr_ms=None, seed=None):
        self._temporary = tempfile.TemporaryDirectory(prefix="npumm-xdna-")
        self.folder = pathlib.Path(self._temporary.name)
        self.folder.chmod(0o777)  # for daemons of other users
        self.control, self.log = self.folder / "control", self.folder / "log"
        self.log.touch()
        self.log.chmod(0o666)
        self.env = {"XDNAEMU_ROOT": str(self.folder / "root"), "XDNAEMU_CONTROL": str(self.control),
                    "XDNAEMU_LOG": str(self.log), "XDNAEMU_MANIFEST": MANIFEST, "XDNAEMU_PROFILE": profile}
        # Reports of sanitizers, of whichever process: a worker that fails says so by its exit code alone.
        for name in ("ASAN", "UBSAN", "TSAN"):
            self.env[f"{name}_OPTIONS"] = f"log_path={self.folder}/sanitizer"
        if tdr_ms is not None:
            self.env["XDNAEMU_TDR_MS"] = str(tdr_ms)
        if seed is not None:
            self.env["XDNAEMU_SEED"] = str(seed)
        if strict:
            self.env["XDNAEMU_STRICT"] = "1"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        reports = [path.read_text() for path in self.folder.glob("sanitizer*")]
        self._temporary.cleanup()
        assert not reports, "\n".join(reports)

    def daemon_env(self):
        return {**self.env, "LD_PRELOAD": preload()}

    def strict_worker(self, program):
        """A copy that has XRT say each transfer to the driver. Where root runs XRT reads its settings beside the
        program alone."""
        copy = shutil.copy(program, self.folder)
        (self.folder / "xrt.ini").write_text("[Debug]\nforce_driver_sync=true\n")
        return copy

    # -- what goes wrong --

    def faults(self, *lines):
        """From now on these, tests/emu/README.md; none: nothing goes wrong any more."""
        new = self.control.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self.control)

    # -- what it was asked --

    def lines(self, word):
        return [line for line in self.log.read_text().splitlines() if line.split()[2] == word]

    def commands(self):
        """Commands that were taken, those of self-tests included."""
        return len([line for line in self.lines("EXEC_CMD") if line.endswith("= 0")])

    def expect_work(self):
        """It has computed, and not the CPU in its place: much more than self-tests, all of it COMPLETED."""
        ends = self.lines("END")
        contexts = len([line for line in self.lines("CREATE_HWCTX") if line.endswith("= 0")])
        print(f"emulated NPU: {len(ends)} commands on {contexts} contexts", flush=True)
        assert all(" state=COMPLETED " in line for line in ends), "a command has failed"
        assert len(ends) >= 4 * contexts + 10, "it was hardly used"

    def seed(self):
        return re.search("seed=([0-9]+)", self.lines("OPEN")[0])[1]

    def check_log(self, *options):
        """Was all asked for in the order in which it must be?"""
        checked = subprocess.run([sys.executable, os.environ["NPUMM_CHECK_LOG"], *options, str(self.log)],
                                 capture_output=True, text=True, check=False)
        print(f"emulated NPU, seed {self.seed()}: {checked.stdout.strip()}", flush=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def main(arguments):
    with Npu() as npu:
        env = {**os.environ, **npu.env,
               "NPUMM_TEST_SETTINGS": ";".join(f"{key}={value}" for key, value in SETTINGS.items()),
               "NPUMM_TEST_PRELOAD": preload()}
        if arguments[0] == "--preload":
            del arguments[0]
            env["LD_PRELOAD"] = preload()
        code = subprocess.run(arguments, env=env, check=False).returncode
        npu.check_log()
        npu.expect_work()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
