"""Wheel install: this checkout's wheel in an environment of its own, as a user has it.

Rule: what is measured beside other programs is installed as they are. An editable install, and the tools of a
developer, put .pth files beside the packages, which every start of that interpreter reads. The wheel is built and
installed without the network; the packages that it needs are copied from this interpreter's, by their lists of files.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

from support import wheels

_NAME = "maestro-messaging"


def folder_of_commands(directory: str) -> str:
    """The folder with `maestro` and `python` of the environment in `directory`, which is made at the first call."""
    place = os.path.join(directory, "installed")
    commands = os.path.join(place, "bin")
    if not os.path.exists(place):
        [wheel] = wheels.build(wheels.ROOT, os.path.join(directory, "wheel"), "wheel")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        python = os.path.join(commands, "python")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
        subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
        _copy_needs(python)
    return commands


def _copy_needs(python: str) -> None:
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    target = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    for name in _needs(_NAME) - {_NAME}:
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts:  # a command
                os.makedirs(os.path.join(target, file.parent), exist_ok=True)
                shutil.copyfile(str(file.locate()), os.path.join(target, file))


def _needs(name: str) -> set[str]:
    """A distribution and all that it needs without its extras, as far as it is installed."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        try:
            needs = importlib.metadata.requires(one) or []
        except importlib.metadata.PackageNotFoundError:  # of another platform or version of Python
            continue
        found.add(one)
        waiting += [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs if "extra ==" not in need]
    return found
