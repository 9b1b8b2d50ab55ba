"""What `pip install rnntext` brings, without extras: small, no PyTorch, and a clear word."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

LIMIT = 226e6  # bytes; the README says so
# What a fresh environment holds before anything is installed.
INSTALLER = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils"}

site = Path(next(path for path in sys.path if path.endswith("site-packages")))
size = sum(
    file.lstat().st_size
    for file in site.rglob("*")
    if file.is_file() and file.relative_to(site).parts[0].split("-")[0] not in INSTALLER
)
print(f"installed: {size / 1e6:.0f} MB")
assert size < LIMIT, size
assert importlib.util.find_spec("torch") is None
assert (resources.files("rnntext") / "corpora" / "stories.txt").is_file()

with tempfile.TemporaryDirectory() as folder:
    command = Path(sys.executable).with_name("rnntext")
    stories = str(resources.files("rnntext") / "corpora" / "stories.txt")
    run = subprocess.run(
        [command, "train", "lm", stories, "-o", os.path.join(folder, "m")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run
    assert "pip install 'rnntext[train]'" in run.stderr, run
    assert len(run.stderr.splitlines()) == 1, run
    assert not os.listdir(folder)
print("1 passed, 0 failed")
