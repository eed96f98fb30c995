"""Team: a post office with the mail of a working day, for tests, screenshots and pictures of the page.

Rule: everything is made by the public means: sessions, hooks' signs, groups, mail, confirmations. The text is fixed,
so that two pictures of the same code are alike.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, cast

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_runtime import hook_state, process_identity
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_schemas.documents import MetadataDoc, OutgoingDoc

    from .post_office import PostOffice
    from .wall_clock import WallClock

PROJECT = "shop"
# A broker that does not hold back a morning's mail, sent within a second.
SETTINGS = {"fanout_limit": 0, "group_limit": 0}
WORKERS = ("ann", "ben", "cid", "dee", "eva", "fay", "gus")
_TEXTS = (
    "The build of `shop/address` takes 41 s; 30 of them are the fixtures.",
    "Rebased onto main. No conflicts.",
    "I found the cause: the cache keeps the **old** price list. See `pricing/cache.py:88`.",
    "Please look at the second test of `test_cart.py`; it passes for a wrong reason.",
    "Done. 214 passed, 0 failed, 38 s.",
)


class Team:
    """`lead` and its workers in one project. `post` sends; a short name stands for each id."""

    def __init__(self, office: PostOffice, pid: int, clock: WallClock | None = None, ahead_s: int = 0) -> None:
        """`pid`: a process that lives as long as the team, for the agents that are there. `clock`: the office's,
        `ahead_s` ahead of the true time; the morning then takes its time."""
        self.office = office
        self._clock = clock
        self.ahead_s = ahead_s
        self._pid = pid
        self.ids: dict[str, str] = {}
        self._clients: dict[str | None, Client] = {}

    def _client(self, name: str | None) -> Client:
        """Of a session, or of the operator."""
        if name not in self._clients:
            caller = Caller(self.ids[name]) if name else Caller("operator")
            self._clients[name] = Client(self.office.router(), caller)
        return self._clients[name]

    def wait(self, seconds: int) -> None:
        """Time passes at the office, where it has a clock of its own: a broker looks at the wall clock when it
        starts."""
        if self._clock is not None:
            self.close()
            self._clients.clear()
            self.office.stop()
            self.ahead_s += seconds
            self._clock.jump(self.ahead_s)
            self.office.start(**SETTINGS)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    def gather(self) -> None:
        """Start the sessions."""
        for name in ("lead", *WORKERS):
            role = "orchestrator" if name == "lead" else "worker"
            self.ids[name] = self.office.session(name, role=role, project=PROJECT)["id"]
            self._client(name).touch_session(agent="claude-code")

    def sign(self, name: str, state: hook_state.State, detail: str | None = None) -> None:
        """A sign of an agent's hooks."""
        start = process_identity.pid_start(self._pid)
        # As the hook at an agent's start does: the sign counts for the session's own process.
        self._client(name).touch_session(agent="claude-code", pid=self._pid, pidStart=start)
        event = {"working": "PostToolUse", "waiting": "Notification", "idle": "Stop", "left": "SessionEnd"}[state]
        path = hook_state.path(self.office.data, self.ids[name])
        hook_state.write(path, hook_state.HookState(state, event, "claude-code", self._pid, start, detail))
        if self._clock is not None:
            given_s = time.time() + self.ahead_s
            os.utime(path, (given_s, given_s))

    def post(
        self, sender: str | None, to: str | list[str], text: str, reply_to: str | None = None, **metadata: Any
    ) -> str:
        """Send; the message's id. Without a sender, the operator's."""
        said: dict[str, Any] = {**metadata, **({"inReplyTo": reply_to} if reply_to else {})}
        caller = self._client(sender)
        return caller.send(to, text, metadata=cast("MetadataDoc", said), confirm=True)["id"]

    def group(self, name: str, *members: str) -> None:
        """A group, made by the operator."""
        self._client(None).set_group(name, create=True, add=list(members), project_id=PROJECT)

    def take(self, name: str, *ids: str, read: bool = True) -> None:
        """A session is shown messages, and acknowledges them."""
        client = self._client(name)
        for kind in ("offered", "delivered", *(("read",) if read else ())):
            client.confirm(list(ids), kind, via="hook:claude-code:PostToolUse")

    def work(self) -> dict[str, str]:
        """The mail of a morning, in the states that the page shows. Returns the ids by a short name."""
        said = {}
        said["red"] = self.post(
            "lead",
            "@workers",
            "**Main is red.** `test_cart_total` fails since 13:51: expected `42.00`, got `41.99`. Who touched the "
            "rounding? Please answer even if it was not you, and merge nothing until this is green.\n\n"
            "```pytest\nE   assert Decimal('41.99') == Decimal('42.00')\n"
            "E    +  where Decimal('41.99') = total([Line(price=0.125, qty=336)])\n```",
            type="request",
            priority="high",
            requiresAck=True,
            taskId="task_456",
        )
        for name in ("ann", "ben", "cid", "eva", "dee"):
            self.wait(2)
            self.take(name, said["red"])
        self.wait(38)
        said["me"] = self.post(
            "ann",
            "lead",
            "Me. `round()` on floats, which goes half to even. Fix in `4f1c2aa`, patch attached; the test now also "
            "covers `0.005`.",
            said["red"],
            type="response",
        )
        self.wait(14)
        said["not-ben"] = self.post(
            "ben", "lead", "Not me: my branch only touches `checkout/address.py`.", said["red"], type="response"
        )
        self.wait(13)
        said["not-cid"] = self.post("cid", "lead", "Not me. I was in `tax.py` only.", said["red"], type="response")
        self.wait(65)
        said["rtl"] = self.post("eva", "lead", "لا، ملفي هو `checkout.css` فقط.", said["red"], type="response")
        self.take("lead", said["me"], said["not-ben"], said["not-cid"], said["rtl"])
        self.wait(60)
        said["review"] = self.post(
            "lead",
            "ben",
            "Please review `fix.patch` from ann before I merge it. Look at the rounding of negative lines (refunds).",
            type="request",
        )
        self.take("ben", said["review"])
        self.wait(300)
        said["remarks"] = self.post(
            "ben",
            "lead",
            "Two remarks on `fix.patch`, the first one **blocking**.\n\n1. `Decimal(price)` of a float keeps the "
            "error of the float. Build it from the string, and round once, at the end:\n\n```diff\n"
            "-    total = Decimal(sum(line.price * line.qty for line in lines))\n"
            "+    total = sum(Decimal(str(line.price)) * line.qty for line in lines)\n"
            "+    return total.quantize(CENT, ROUND_HALF_UP)\n```\n\n"
            "2. The new test is called `test_total_2`; say what it shows.",
            said["review"],
            type="response",
        )
        self.take("lead", said["remarks"])
        self.wait(60)
        said["fix"] = self.post(
            "lead", "ann", "Ben is right about the first point. Fix both, run the whole suite, then push to main.",
            type="command",
        )  # fmt: skip
        self.take("ann", said["fix"])
        self.wait(480)
        said["green"] = self.post("ann", "lead", "Done: `b81e0d4` on main. 214 passed, 0 failed, 38 s.", said["fix"])
        self.take("lead", said["green"])
        self.wait(60)
        said["all-green"] = self.post("lead", "@workers", "Main is green again (`b81e0d4`). Rebase, then merge.")
        for name in ("ann", "ben", "cid"):
            self.take(name, said["all-green"])
        self.wait(300)
        said["tax"] = self.post(
            "cid", "ben", "When `billing` and `shipping` disagree about the country, which one decides the tax?",
            type="request",
        )  # fmt: skip
        self.take("ben", said["tax"], read=False)
        self.wait(120)
        said["force"] = self.post(
            "ben",
            "operator",
            "May I force-push `shop/address`? I rebased onto `b81e0d4`; no other session has the branch.",
            type="request",
            requiresAck=True,
        )
        self.wait(240)
        said["publish"] = self.post(
            "lead", "dee", "Do **not** publish today, not even as `next`. Finish the changelog, then stop.",
            type="command", priority="high",
        )  # fmt: skip
        self.wait(120)
        said["plan"] = self.post("lead", "operator", "Main is green, the review is done. Left: the changelog (dee).")
        self.group("reviews", "ann", "ben", "cid")
        self.sign("cid", "idle")
        self.sign("dee", "waiting", "permission:Bash")
        self.wait(60)
        self.sign("ben", "working")
        self.wait(120)
        self.sign("eva", "waiting", "question")
        self.wait(60)
        self.sign("lead", "working")
        ask = "Which Postgres version should CI use?"
        self._client("eva").touch_session(needsInput={"active": True, "message": ask})
        return said

    def many(self, count: int, senders: tuple[str, ...] = WORKERS[:5]) -> None:
        """`count` further messages of these to each other, in batches."""
        for start in range(0, count, 250):
            for index, sender in enumerate(senders):
                to = senders[(index + 1) % len(senders)]
                part = range(start + index, min(start + 250, count), len(senders))
                if not part:
                    continue
                outgoing: list[OutgoingDoc] = [
                    {"id": new_message_id(), "to": self.ids[to], "message": f"{n}: {_TEXTS[n % len(_TEXTS)]}"}
                    for n in part
                ]
                for result in self._client(sender).send_many(outgoing):
                    if result["status"] >= 300:
                        raise MaestroError.from_body(result.get("error"))
