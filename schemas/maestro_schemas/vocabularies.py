"""Vocabularies: the words that a field may hold, for types that need no msgspec.

Rule: one home for each list of words. `messages`, `sessions` and `requests` give these names to their fields.
"""

from __future__ import annotations

from typing import Literal

MessageStatus = Literal["pending", "delivered", "read", "failed", "expired"]
MessageType = Literal["request", "response", "notification", "command"]
Priority = Literal["low", "medium", "high"]

Role = Literal["orchestrator", "worker"]
ActiveStatus = Literal["spawning", "idle", "working"]
EndStatus = Literal["completed", "failed", "stopped"]
SessionStatus = Literal[ActiveStatus, EndStatus]

# Whether the broker may start a turn of a session's idle agent; `off`: only hooks and readers bring its mail.
WakeSetting = Literal["idle", "off"]

# Where the receiver of a message has ended; `limits.ON_ENDED` has the same words.
OnEnded = Literal["error", "queue", "redirect"]
