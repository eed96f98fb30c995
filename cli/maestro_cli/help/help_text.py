"""Help text: the parts of a command's help."""

from __future__ import annotations

from maestro_cli.output.wrapping import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LABEL_WIDTH_MAX = 26
_INDENT = "  "
_EXAMPLES = "Examples:\n"
# How many stand above the options.
_FIRST_EXAMPLES = 2


def parted(details: str) -> tuple[str, str]:
    """The details of a command in two: its first examples, which stand above the options; and the rest."""
    about, title, examples = details.partition(_EXAMPLES)
    lines = examples.split("\n")
    begins = [number for number, line in enumerate(lines) if line.startswith("  maestro ")]
    if not title or len(begins) <= _FIRST_EXAMPLES:
        return (f"{title}{examples}", about.strip()) if title else ("", details)
    at = begins[_FIRST_EXAMPLES]
    rest = "\n".join(lines[at:])
    return title + "\n".join(lines[:at]), f"{about}More examples:\n{rest}"


def paragraphs(text: str, width: int) -> list[str]:
    """The lines of a text, each wrapped where it is wider, but for a command, which is to be copied."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line] if line.lstrip().startswith("maestro ") else wrapped(line, width)
    return lines


def rows(found: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Labels and what is said of each, in two columns."""
    column = min(max(len(label) for label, _ in found), _LABEL_WIDTH_MAX) + len(_INDENT) + 2
    lines: list[str] = []
    for label, about in found:
        first, *rest = wrapped(about, max(width - column, 20))
        head = f"{_INDENT}{label}"
        if len(head) + 2 > column:
            lines += [head, " " * column + first]
        else:
            lines.append(f"{head:<{column}}{first}".rstrip())
        lines += [" " * column + line for line in rest]
    return lines
