"""Media types: what a file probably is, by the extension of its name; a hint to its reader.

Rule: the same on every machine, so the system's own tables are not read.
"""

from __future__ import annotations

import mimetypes

UNKNOWN = "application/octet-stream"
# What agents send, and the standard library does not know.
_MORE = {
    ".diff": "text/x-patch",
    ".go": "text/x-go",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".patch": "text/x-patch",
    ".rs": "text/x-rust",
    ".sql": "application/sql",
    ".toml": "application/toml",
    ".ts": "text/x-typescript",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_KNOWN = mimetypes.MimeTypes()
for _extension, _type in _MORE.items():
    _KNOWN.add_type(_type, _extension)


def media_type(name: str) -> str:
    """The type of a file of this name. What is packed (`x.tar.gz`) has the type of the packing."""
    # An extension alone: for `guess_type`, the rest of a name may look like a scheme.
    found, packing = _KNOWN.guess_type("file." + name.rpartition(".")[2] if "." in name else "file")
    if packing is not None:
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}.get(
            packing, UNKNOWN
        )
    return found or UNKNOWN
