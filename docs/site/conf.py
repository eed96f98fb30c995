"""Configuration: how `just docs` makes a site of the documents, with Sphinx and MyST.

The documents stay plain Markdown that a forge shows as it is. So the menu comes from the links of the two index
pages, and not from a directive in them. The source directory is the root of the repository, since documents link to
the protocol and to the list of changes (decision 50).
"""

from __future__ import annotations

import re
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Maestro messaging"
author = "Maestro messaging"
project_copyright = "Maestro messaging"
release = version = installed("maestro-messaging")

extensions = ["myst_parser"]
root_doc = "docs/README"
source_suffix = {".md": "markdown"}
include_patterns = ["docs/*.md", "docs/**/*.md", "schemas/PROTOCOL.md", "CHANGELOG.md"]
exclude_patterns = [".*", "build"]

# Headings have the same anchors as on a forge.
myst_heading_anchors = 6
# A shortened output ("…") is no valid JSON, and is highlighted as far as it goes.
suppress_warnings = ["misc.highlighting_failure"]

# The text as it is written.
smartquotes = False

html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "header_links_before_dropdown": 1,
    "footer_start": [],
    "footer_end": [],
    "back_to_top_button": False,
}
html_title = "Maestro messaging"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False

# The pages whose lists are the menu.
_INDEXES = ("docs/README", "docs/guide/README")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[[^\]]+\]\(([^)#:]+\.md)\)", re.MULTILINE)


def _menu(text: str) -> str:
    """The toctrees of an index page: one for each heading with a list of links."""
    _, *parts = _HEADING.split(text)
    found = []
    for caption, part in zip(parts[::2], parts[1::2], strict=True):
        if entries := _ENTRY.findall(part):
            lines = [":hidden:", f":caption: {caption}", "", *entries]
            found.append("\n".join(["", "```{toctree}", *lines, "```", ""]))
    return "\n".join(found)


def _add_menu(_: Sphinx, docname: str, source: list[str]) -> None:
    if docname in _INDEXES:
        source[0] += _menu(source[0])
    if docname == root_doc:
        source[0] += "\n```{toctree}\n:hidden:\n:caption: Decisions\n:glob:\n\ndecisions/*\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", _add_menu)
