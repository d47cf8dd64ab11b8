# SPDX-License-Identifier: MIT
"""Runs a real daemon for a test, and looks at it from outside.

Role:  starts npumatmuld on a private socket with a configuration of its own, waits until it says READY=1, stops it
       with SIGTERM and insists that it ended well; reads /proc.
In:    NPUMM_DAEMON, the program; NPUMM_TEST_SLOW=1 where it is built with sanitizers, so that sizes shrink;
       NPUMM_TEST_SETTINGS, "KEY=VALUE;..", in place of this file's own for tests that do not say: another backend's;
       NPUMM_TEST_PRELOAD, the daemon's LD_PRELOAD; NPUMM_TEST_TIMES=1 to assert how soon things come about, too.
Owns:  the process, its folder, the notify socket.
Never: sleeps for a guessed time: it waits for an event, or polls a condition until a deadline.
"""
import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import wire

SLOW = os.environ.get("NPUMM_TEST_SLOW", "0") not in ("", "0")
TIMED = os.environ.get("NPUMM_TEST_TIMES", "0") not in ("", "0")  # the machine has nothing else to do: times count
PATIENCE = 60 if SLOW else 20  # seconds that anything may take on a busy machine before a test fails
LIMITS_WIDE = 20000            # descriptors, where a test does not say
SETTINGS = {"backend": "cpu", "log-level": "debug",
            **dict(pair.split("=", 1) for pair in os.environ.get("NPUMM_TEST_SETTINGS", "").split(";") if pair)}
PRELOAD = {"LD_PRELOAD": os.environ["NPUMM_TEST_PRELOAD"]} if "NPUMM_TEST_PRELOAD" in os.environ else {}


def scaled(size, by=8):
    """`size`, or a `by`-th of it where the daemon is slow."""
    return max(size // by, 1) if SLOW else size


def eventually(predicate, seconds=PATIENCE, what="the condition"):
    """Polls until predicate() is true, and returns its value."""
    until = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.005)  # between two looks, not in place of one


def daemon_program():
    program = os.environ.get("NPUMM_DAEMON")
    if not program:
        raise SystemExit("NPUMM_DAEMON is not set: it names the daemon's program, e.g. build/daemon/npumatmuld")
    return os.path.abspath(program)


class NotifySocket:
    """What a service manager hears. It listens all the time: the queue is short, and a daemon is stuck whose service
    manager does not."""

    def __init__(self, path):
        self.path = str(path)
        self.seen = []
        self.heard = threading.Condition()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        if self.sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)  # wakes recv()
            self.thread.join(PATIENCE)
            self.sock.close()

    def _serve(self):
        while True:
            datagram = self.sock.recv(4096)
            if not datagram:
                return
            with self.heard:
                self.seen += datagram.decode().splitlines()
                self.heard.notify_all()

    def listen(self, done, process=None, seconds=PATIENCE):
        """Hears until done(), or the end of `process`, or the time is over."""
        until = time.monotonic() + seconds
        with self.heard:
            while not done() and time.monotonic() < until:
                if process and process.poll() is not None:
                    self.heard.wait(0.05)  # its last words may be on their way
                    return
                self.heard.wait(0.005)

    def wait(self, line, process=None, count=1):
        """Until `line` has been heard `count` times; fails at once when `process` ends before."""
        self.listen(lambda: self.seen.count(line) >= count, process)
        assert self.seen.count(line) >= count, f"the daemon did not say {line} {count} times; it said {self.seen}"


class Daemon:
    """One npumatmuld, in a temporary folder of its own.

    settings  keys of the configuration file, with hyphens or underscores
    path      of its socket; else `sock` in its folder
    before    called with the path before the daemon starts
    command   what starts the daemon; {path} in it becomes the path
    nofile    its RLIMIT_NOFILE
    wait      until it says READY=1
    """

    def __init__(self, settings=None, *, path=None, before=None, command=(), env=None, nofile=LIMITS_WIDE,
                 wait=True, pass_fds=()):
        self._temporary = tempfile.TemporaryDirectory(prefix="npumm-test-")
        self.folder = pathlib.Path(self._temporary.name)
        self.path = path or str(self.folder / "sock")
        self.stderr_path = self.folder / "stderr"
        config = self.folder / "conf"
        config.write_text("[npumatmuld]\n" + "".join(
            f"{key.replace('_', '-')} = {value}\n"
            for key, value in {**SETTINGS, **(settings or {})}.items()))
        self.judged = False  # its exit code was looked at
        self.preface = ("Listening on", "Communication attempt", "Execing") if command else ()
        self.notify = NotifySocket(self.folder / "notify")
        if before:
            before(self.path)
        limit = min(nofile, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                [*(word.replace("{path}", self.path) for word in command), daemon_program(),
                 f"--socket={self.path}", f"--config={config}"],
                stdin=subprocess.DEVNULL, stderr=stderr, pass_fds=pass_fds,
                env={**os.environ, **PRELOAD, "NOTIFY_SOCKET": self.notify.path, **(env or {})},
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        if wait:
            try:
                self.notify.wait("READY=1", self.process)
            except AssertionError:
                self.show_stderr()
                self.kill()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
        except AssertionError:
            kind = AssertionError
            raise
        finally:
            if kind is not None:
                self.show_stderr()
            self.kill()
            self._temporary.cleanup()

    # -- its end --

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=PATIENCE):
        """Until it has ended: its exit code."""
        if self.process.returncode is None:
            self.notify.listen(lambda: False, self.process, seconds)
            self.process.wait(1)
        return self.process.returncode

    def stop(self):
        """SIGTERM, and 0; unless its end has been judged before."""
        if not self.judged:
            if self.is_alive():
                self.terminate()
            self.expect_exit(0)

    def expect_exit(self, code):
        """It ends with `code`, and has said nothing but its own log lines: sanitizers would."""
        self.judged = True
        found = self.wait()
        assert found == code, f"the daemon ended with {found}, not {code}"
        strange = [line for line in self.stderr().splitlines()
                   if not line.startswith(("npumatmuld: ", *self.preface))]
        assert not strange, "the daemon said something other than its log:\n" + "\n".join(strange[:100])

    def kill(self):
        """Not gentle; for the end of a test, and for tests of just this."""
        self.notify.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    # -- what can be seen of it --

    def stderr(self):
        return self.stderr_path.read_text(errors="backslashreplace")

    def show_stderr(self):
        sys.stderr.write(f"---- stderr of the daemon, pid {self.process.pid} ----\n{self.stderr()[-20000:]}----\n")

    def is_alive(self):
        return self.process.poll() is None

    def proc(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}").read_text(encoding="utf-8")

    def cpu_seconds(self):
        fields = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_kib(self, field):
        """VmRSS, VmHWM, ..."""
        for line in self.proc("status").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"/proc has no {field}")

    def arenas_held(self):
        """(arenas open, arenas mapped, bytes of them that are in memory); those of inline jobs count, too."""
        opened = in_memory_bytes = 0
        for entry in os.scandir(f"/proc/{self.process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(entry.path).startswith("/memfd:npumm-arena"):
                    opened += 1
                    in_memory_bytes += os.stat(entry.path).st_blocks * 512
        return opened, self.proc("maps").count("/memfd:npumm-arena"), in_memory_bytes

    def connect(self, **how):
        """A connection that has not said anything."""
        return wire.Wire(self.path, **how)

    def client(self, **how):
        """A connection that has said HELLO."""
        client = self.connect(**how)
        try:
            client.hello()
        except BaseException:
            client.close()
            raise
        return client


class OldDaemon:
    """Something that speaks protocol 1.0 and says no more than WELCOME, to any number of connections."""
    # The worked example's, with its limits: see proto/README.md
    CONTROL = bytes.fromhex("1a05302e312e302203637075" "2a1a" "08808004" "1080808020" "188080808010" "2040"
                            "288080808010" "308002")

    def __init__(self, path):
        self.path = str(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.connections = []
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.thread.join(PATIENCE)
        for sock in [self.listener, *self.connections]:
            sock.close()
        os.unlink(self.path)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                self.connections.append(connection)
                connection.sendall(wire.frame(wire.WELCOME, 1, self.CONTROL))  # clients begin with HELLO #1


def main():
    """unittest's main, but a file of which nothing could run exits with 77."""
    daemon_program()
    result = unittest.main(exit=False).result
    if result.wasSuccessful() and result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
