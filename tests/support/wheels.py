"""Wheels: what is published, built from this checkout once in a test process, and installed outside it.

Rule: nothing is built or installed below the checkout, and what is built here is removed when the process ends.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))


def build(source: str, directory: str, *targets: str) -> list[str]:
    """Build a source directory's wheel, sdist or both; returns the paths of what was built."""
    wanted = [word for target in targets for word in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", directory, *wanted]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(os.path.join(directory, name) for name in os.listdir(directory))


@functools.cache
def _built() -> tuple[str, str]:
    """The sdist and the wheel."""
    directory = tempfile.mkdtemp(prefix="maestro-dist-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    wheel, sdist = build(ROOT, directory, "wheel", "sdist")
    assert wheel.endswith(".whl")
    assert sdist.endswith(".tar.gz")
    return sdist, wheel


def built_wheel() -> str:
    """The path of the wheel."""
    return _built()[1]


def built_sdist() -> str:
    """The path of the sdist."""
    return _built()[0]


@functools.cache
def installed() -> str:
    """The folder of the commands of the wheel, installed once; for a test that changes nothing in it."""
    directory = tempfile.mkdtemp(prefix="maestro-venv-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return install(built_wheel(), directory)


def install(package: str, directory: str) -> str:
    """Install a file and what it needs into a new venv, as a user does; returns the folder of its commands."""
    subprocess.run([sys.executable, "-m", "venv", directory], check=True, timeout=120)
    commands = os.path.join(directory, "bin")
    pip = [os.path.join(commands, "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, package], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return commands
