"""What `pip install rnntext` brings, without extras: as much as the README states, no PyTorch,
three models at work, and a clear word."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
STATED = float(re.search(r"installation takes about (\d+) MB", README)[1]) * 1e6  # bytes
# rnntext itself is 7 MB; a new dependency is more than this.
TOLERANCE = 2e6
# What a fresh environment holds before anything is installed.
INSTALLER = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils"}

site = Path(next(path for path in sys.path if path.endswith("site-packages")))
size = sum(
    file.lstat().st_size
    for file in site.rglob("*")
    if file.is_file() and file.relative_to(site).parts[0].split("-")[0] not in INSTALLER
)
print(f"installed: {size / 1e6:.0f} MB")
assert abs(size - STATED) < TOLERANCE, f"the README states {STATED / 1e6:.0f} MB"
assert importlib.util.find_spec("torch") is None
assert (resources.files("rnntext") / "corpora" / "stories.txt").is_file()
command = Path(sys.executable).with_name("rnntext")
demo = subprocess.run([command, "demo"], capture_output=True, text=True, check=True)
check = Path(__file__).with_name("check_demo.py")
subprocess.run([sys.executable, check, "packaged"], input=demo.stdout, text=True, check=True)

with tempfile.TemporaryDirectory() as folder:
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
