"""Kills what writes files just before each of its file operations, one after another."""

from __future__ import annotations

import subprocess
import sys
import textwrap

# Forks a child for each k, which is killed by SIGKILL just before its k-th file operation; the
# last has none left to be killed at. sys.addaudithook sees every one that Python makes.
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


def killed_ever_later(source: str, *arguments: object) -> int:
    """Run Python `source`, which defines `prepare(k)` and `act(k)` and finds the arguments in
    `sys.argv`, so often that `act(1)`, `act(2)` ... are killed ever later; how often: the last
    time nothing is killed."""
    command = [sys.executable, "-c", textwrap.dedent(source) + _KILLER, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)
