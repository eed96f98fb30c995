"""Help text: `--help` as plain lines.

Rule: two columns, wrapped to the terminal and never wider than 100; no boxes and no colour, because most readers are
agents, which pay for every character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

_WIDTH_MAX = 100
_LABEL_WIDTH_MAX = 26
_INDENT = "  "
_EXAMPLES = "Examples:\n"
# How many stand above the options.
_FIRST_EXAMPLES = 2


class PlainHelp:
    """A help formatter for cyclopts."""

    def __init__(self, examples: str = "") -> None:
        """`examples`: what stands below the line that says what the command does."""
        self._examples = examples

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """One group of commands or options."""
        rows = []
        for entry in panel.entries:
            label = ", ".join(entry.display_labels_with_metavar)
            about = _words(entry.description)
            if entry.choices:
                about += f" One of: {', '.join(entry.choices)}."
            if entry.required and panel.format == "parameter":
                about += " Required."
            rows.append((label, about.strip()))
        if not rows:
            return
        title = "Options" if panel.title == "Parameters" else panel.title
        _write(console, f"\n{title}:")
        column = min(max(len(label) for label, _ in rows), _LABEL_WIDTH_MAX) + len(_INDENT) + 2
        for label, about in rows:
            _write(console, _row(label, about, column, _width(options)))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """The usage line."""
        del options
        if usage:
            _write(console, f"Usage: {_words(usage).removeprefix('Usage: ')}\n")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """The line that says what the command does."""
        if description:
            import textwrap

            _write(console, textwrap.fill(_words(description), _width(options)))
        if self._examples:
            _write(console, f"\n{self._examples}")


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


def _width(options: ConsoleOptions) -> int:
    return min(options.max_width, _WIDTH_MAX)


def _row(label: str, about: str, column: int, width: int) -> str:
    import textwrap

    lines = textwrap.wrap(about, max(width - column, 20)) or [""]
    head = f"{_INDENT}{label}"
    if len(head) + 2 > column:
        return "\n".join([head, *(" " * column + line for line in lines)])
    rest = [" " * column + line for line in lines[1:]]
    return "\n".join([f"{head:<{column}}{lines[0]}".rstrip(), *rest])


def _words(renderable: Any) -> str:
    """The text of a string, of rich's Text, or of cyclopts' wrapper around it."""
    return "" if renderable is None else str(getattr(renderable, "primary_renderable", renderable)).strip()


def _write(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
