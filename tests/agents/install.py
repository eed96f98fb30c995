"""Install: puts the real agents that the tests run into a directory, by npm.

`python3 tests/agents/install.py [DIRECTORY]`. Rule: it needs only Python, node and npm, writes only to the
directory, which is never inside the repository, and runs no script of a package.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Gemini CLI needs it. Debian 12's node is older; npm has a newer one as a package.
NODE_MIN = 20
NODE_PACKAGE = "node-linux-{}@22"


def directory() -> str:
    """The directory that holds the agents."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("MAESTRO_AGENTS_DIR") or os.path.join(cache, "maestro-agents")


def node_major(program: str) -> int:
    """The major version of a node program; 0 if it can't be run."""
    try:
        version = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(r"v(\d+)\.", version)
    return int(found[1]) if found else 0


def install(target: str, source: str = HERE) -> None:
    """Install the packages of `source`'s package.json, and a node if the machine's is too old."""
    os.makedirs(target, exist_ok=True)
    shutil.copy(os.path.join(source, "package.json"), target)
    npm = ["npm", "install", "--prefix", target, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    more = []
    if node_major("node") < NODE_MIN:
        more = ["--no-save", NODE_PACKAGE.format({"x86_64": "x64", "aarch64": "arm64"}[platform.machine()])]
    subprocess.run([*npm, "--loglevel=error", *more], check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    install(sys.argv[1] if len(sys.argv) > 1 else directory())
