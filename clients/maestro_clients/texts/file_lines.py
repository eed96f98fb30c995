"""File lines: the files of a message, one line each, as an agent or a person reads them.

Rule: a line has what the reader needs to open the file, and never its content. The name is the sender's choice, so it
is a token or stands in quotes, and the path that ends with it too.
"""

from __future__ import annotations

from maestro_schemas.texts.visible_text import is_token, one_line

from .byte_counts import size

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from maestro_schemas.documents import AttachmentDoc, MessageDoc


# With which a word of a shell needs no quotes.
_PLAIN_MARKS = str.maketrans("._-", "aaa")


def lines(message: MessageDoc, command: str = "maestro") -> list[str]:
    """`file: cart.patch (2.1 KiB, text/x-patch) /path`, one for each file of a message. `command`: what the reader
    types for `maestro`, where a file has no path on this machine."""
    return [_line(message["id"], file, command) for file in message.get("attachments", ())]


def _line(message_id: str, file: AttachmentDoc, command: str) -> str:
    path = file.get("path")
    about = f"file: {_quoted(file['name'])} ({size(file['size'])}, {one_line(file['type'])})"
    if path is not None:
        return f"{about} {_quoted(str(path))}"
    name = one_line(file["name"])
    if not (name.isascii() and name.translate(_PLAIN_MARKS).isalnum()):
        import shlex

        name = shlex.quote(name)
    return f"{about}; to save it: {command} attachment save {message_id} {name}"


def _quoted(text: str) -> str:
    """A token as it is; other text as JSON has it, since the path must stay exact."""
    if is_token(text):
        return text
    from . import json_text

    return json_text.line(one_line(text), ascii_only=False)
