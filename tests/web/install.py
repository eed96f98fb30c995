"""Install: puts what checks the page's sources into a directory, by npm.

These are a type checker, a linter, a checker of accessibility, and the package that the vendored files come from.

`python3 tests/web/install.py [DIRECTORY]`. Rule: as tests/agents/install.py. The page itself needs none of this.
"""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def directory() -> str:
    """The directory that holds the tools."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("MAESTRO_WEB_TOOLS_DIR") or os.path.join(cache, "maestro-web-tools")


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(HERE))
    from agents.install import install

    install(sys.argv[1] if len(sys.argv) > 1 else directory(), HERE)
