"""Line editor: a small program with a screen, whose prompt, menus and dialogs a test of keys types into.

Rule: it reads the terminal key by key and draws one prompt, as agents do. Each line that is entered goes to the file
in its first argument, one a line. `/` at the start shows a menu in place of the prompt, `?` a dialog.
"""

from __future__ import annotations

import os
import sys
import termios
import tty

PLACEHOLDER = "  Type your message"


def draw(line: str, entered: int) -> None:
    """Draw the screen, with the cursor behind the line."""
    if line.startswith("?"):
        sys.stdout.write(f"\x1b[2J\x1b[HReally?\r\n  1. yes\r\n  2. no\r\n{entered} entered\r\n")
    else:
        shown = line or PLACEHOLDER
        menu = "\r\n  /help\r\n  /quit" if line.startswith("/") else ""
        back = len(shown) - len(line)
        sys.stdout.write(f"\x1b[2J\x1b[H{entered} entered\r\n\r\n > {shown}\x1b7{menu}\x1b8")
        if back:
            sys.stdout.write(f"\x1b[{back}D")
    sys.stdout.flush()


def main() -> None:
    """Read keys until the end of the input."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    line, entered = "", 0
    try:
        while True:
            draw(line, entered)
            key = os.read(0, 1).decode("latin-1")
            if key in ("", "\x04"):
                return
            if key == "\r":
                with open(sys.argv[1], "a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
                line, entered = "", entered + 1
            elif key == "\x15":
                line = ""
            else:
                line += key
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
