"""Repeatable: which commands may be sent again when no answer came.

Rule: imports nothing, so that a client can read it on its fast path; `commands` takes it from here.
"""

from __future__ import annotations

# A repeat of these may act a second time: a note is added twice, a second round of the sweep begins, and a shutdown
# may end the broker that was started meanwhile. A repeat of any other command with the same ids changes nothing.
NOT_REPEATABLE = ("session.touch", "prune", "shutdown")
