# SPDX-License-Identifier: MIT
"""Runs minimal_client.py, which was written from proto/README.md alone, against a daemon."""
import pathlib
import subprocess
import sys

import harness

with harness.Daemon() as daemon:
    subprocess.run([sys.executable, pathlib.Path(__file__).with_name("minimal_client.py"), daemon.path], check=True)
