"""Kills a process that writes files before its first file operation, its second, and so on."""

from __future__ import annotations

import subprocess
import sys
import textwrap

# Forks a child for k = 1, 2, ... that SIGKILL ends just before its k-th file operation, until a
# child has fewer than k. sys.addaudithook sees every file operation that Python makes.
_KILLER = """
import os, signal, sys

KINDS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.utime"}

def kill_at(k):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in KINDS:
            seen += 1
            if seen == k:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

k = 0
while True:
    k += 1
    prepare(k)
    child = os.fork()
    if child == 0:
        kill_at(k)
        act(k)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(k)
"""


def kill_before_each_file_operation(source: str, *arguments: object) -> int:
    """Run Python `source`, which defines `prepare(k)` and `act(k)` and finds `arguments` in
    `sys.argv`: call both for k = 1, 2, ... and kill `act(k)` before its k-th file operation.

    Returns the last k, for which `act` came to its end.
    """
    command = [sys.executable, "-c", textwrap.dedent(source) + _KILLER, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)
