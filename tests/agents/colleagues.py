"""Colleagues: the model of two agents that a person asks to talk, each in a checkout of one project.

Rule: it types what a model would type from the words in its context alone: the person's prompt, what Maestro says at
the start of the session, and the commands that come with its mail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.desk import answer_offered
from agents.turns import Call, Say, strings

if TYPE_CHECKING:
    from agents.turns import Request, Turn

PROMPT = "Ask shop-2 to review the last commit."
QUESTION = "Please review the last commit of main."
ANSWER = "Reviewed: fine, but no test covers an empty cart."
REPORT = "shop-2 has reviewed it: fine, but no test covers an empty cart."


class Colleagues:
    """The model of both: `asked`, `answered` and `reported` are what they did, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.reported: list[str] = []

    def __call__(self, request: Request) -> Turn:
        said = strings(request.body["messages"])
        heard = "\n".join(said)
        if PROMPT in heard:
            return self._of_the_asking(heard)
        offered = answer_offered(request)
        if QUESTION in heard and offered is not None and not self.answered:
            command = f'{offered} --message "{ANSWER}"'
            self.answered.append(command)
            return Call("Bash", {"command": command, "description": "Answer shop"})
        return Say("I answered shop." if self.answered else "Noted.")

    def _of_the_asking(self, heard: str) -> Turn:
        if not self.asked:
            command = f'maestro send shop-2 "{QUESTION}"'
            self.asked.append(command)
            return Call("Bash", {"command": command, "description": "Ask shop-2"})
        if ANSWER in heard:
            self.reported.append(REPORT)
            return Say(REPORT)
        return Say("I asked shop-2. Its answer will come by itself.")
