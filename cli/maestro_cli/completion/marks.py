"""Completion marks: the names that are completed, and the words by which a script is known to be ours.

Rule: it imports nothing, so that a script can be looked for without its generator.
"""

from __future__ import annotations

from typing import Literal

Shell = Literal["bash", "zsh", "fish"]
NAMES = ("maestro", "maestro-messaging")
MARK = "made by `maestro completion`"
