"""Load: senders and readers that continue through every crash of the broker, and record its replies.

Rule: a request is repeated with the same ids until it is answered; only then it is recorded. A seed decides the texts
and receivers. The times depend on the broker's crashes.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Self

from fault.ledger import Fates, Line
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

RECEIVERS = [f"to_{number}" for number in range(6)]
SENDERS = [f"from_{number}" for number in range(4)]
_SIZES = (1, 1, 1, 50, 50, 500, 4_000)
_CALL_S = 2.0
_AGAIN_S = 0.01
_PAGE = 100


class Party(threading.Thread):
    """A thread that works for one session until `stop`; `failure` is the error that ended it earlier."""

    def __init__(self, post_office: PostOffice, session: str, seed: int) -> None:
        super().__init__(name=session, daemon=True)
        self._router = post_office.router()
        self._session = session
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._client: Client | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._round()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.failure = error
        finally:
            self._close()

    def stop(self, *, at_once: bool = False) -> None:
        """End after the current round; with `at_once`, abandon that round, because its broker will not return."""
        self._stopping.set()
        if at_once:
            self._giving_up.set()

    def _round(self) -> None:
        raise NotImplementedError

    def _open(self) -> Client:
        if self._client is None:
            self._client = Client(self._router, Caller(self._session), timeout_s=_CALL_S)
        return self._client

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _again(self, error: MaestroError) -> bool:
        """After a failed call: pause, and return whether to repeat it."""
        if not error.retryable:
            raise error
        self._close()
        return not self._giving_up.wait(_AGAIN_S)


class Sender(Party):
    """Sends rounds of up to `round_max` messages. Their numbers begin after `made`."""

    def __init__(
        self,
        post_office: PostOffice,
        session: str,
        seed: int,
        receivers: list[str],
        *,
        round_max: int,
        pause_s: float,
        made: int,
    ) -> None:
        super().__init__(post_office, session, seed)
        self._receivers = receivers
        self._round_max = round_max
        self._pause_s = pause_s
        self.made = made
        self.lines: list[Line] = []
        self.repeated = 0

    def _round(self) -> None:
        outgoing: list[OutgoingDoc] = []
        orders: dict[str, int] = {}
        for _ in range(self._random.randint(1, self._round_max)):
            self.made += 1
            message_id = f"{self._session}-{self.made}"
            text = "x" * self._random.choice(_SIZES) + f" {message_id}"
            outgoing.append({"id": message_id, "to": self._random.choice(self._receivers), "message": text})
            orders[message_id] = self.made
        waiting = {item["id"]: item for item in outgoing}
        while waiting:
            try:
                results = self._open().send_many(list(waiting.values()))
            except MaestroError as error:
                if not self._again(error):
                    return
                continue
            lines = []
            refused: MaestroError | None = None
            for item, result in zip(list(waiting.values()), results, strict=True):
                if "error" in result:
                    refused = MaestroError.from_body(result["error"])
                    if not refused.retryable:
                        raise refused
                    continue
                del waiting[item["id"]]
                self.repeated += result["status"] == 200
                # If a reader has deleted the message meanwhile, the reply to a repeat says so, and has no seq.
                seq = result.get("seq", 0)
                assert seq or result.get("state") == "deleted", result
                order = orders[item["id"]]
                lines.append(Line(result["id"], self._session, str(item["to"]), item["message"], seq, order))
            self.lines += lines  # in one step, so that a copy taken at any moment has complete replies
            if refused is not None and not self._again(refused):
                return
        self._stopping.wait(self._pause_s)


class Reader(Party):
    """Reads its mailbox, confirms half of the messages and deletes a quarter."""

    def __init__(self, post_office: PostOffice, session: str, seed: int) -> None:
        super().__init__(post_office, session, seed)
        self.fates = Fates(set(), set(), {})
        self._since = 0

    def _round(self) -> None:
        try:
            page = self._open().inbox(since=self._since, limit=_PAGE, status=["pending", "delivered"])
        except MaestroError as error:
            self._again(error)
            return
        self._since = page["upTo"]
        numbers = {message["id"]: message["seq"] for message in page["messages"]}
        seen = list(numbers)
        if not seen:
            self._stopping.wait(_AGAIN_S)
            return
        chosen = self._random.sample(seen, (len(seen) + 1) // 2)
        if not self._confirm_mail(chosen):
            return
        self.fates.delivered.update(chosen)
        chosen = self._random.sample(seen, len(seen) // 4)
        self.fates.asked.update({message_id: (self._session, numbers[message_id]) for message_id in chosen})
        if chosen and self._delete_mail(chosen):
            self.fates.deleted.update(chosen)

    def _confirm_mail(self, ids: list[str]) -> bool:
        while True:
            try:
                results = self._open().confirm(ids, "delivered")
            except MaestroError as error:
                if not self._again(error):
                    return False
                continue
            assert all(result["status"] == 200 for result in results), results
            return True

    def _delete_mail(self, ids: list[str]) -> bool:
        while True:
            try:
                results = self._open().delete(ids)
            except MaestroError as error:
                if not self._again(error):
                    return False
                continue
            # 404: the request was carried out before a crash, and then repeated by this loop or by the client.
            assert all(result["status"] in (200, 404) for result in results), results
            return True


class Load:
    """Senders, and readers of some mailboxes. They run inside `with`; its end waits for their replies."""

    def __init__(
        self,
        post_office: PostOffice,
        seed: int,
        *,
        receivers: list[str] = RECEIVERS,
        read: Iterable[str] = (),
        round_max: int = 32,
        pause_s: float = 0.0,
        before: Load | None = None,
    ) -> None:
        """`round_max`: the most messages that a sender sends at once; it pauses for `pause_s` after each round.
        `before`: an earlier load whose numbering continues, so that no id is used twice."""
        self.receivers = receivers
        numbers = {} if before is None else {sender.name: sender.made for sender in before.senders}
        self.senders: list[Sender] = [
            Sender(
                post_office,
                name,
                seed + number,
                receivers,
                round_max=round_max,
                pause_s=pause_s,
                made=numbers.get(name, 0),
            )
            for number, name in enumerate(SENDERS)
        ]
        self.readers = [Reader(post_office, name, seed + 100 + number) for number, name in enumerate(read)]

    def __enter__(self) -> Self:
        for party in self._parties:
            party.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(at_once=error is not None)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop all parties, and wait for their replies; with `at_once`, don't wait. Raises the error of a party."""
        for party in self._parties:
            party.stop(at_once=at_once)
        for party in self._parties:
            party.join(60.0)
            assert not party.is_alive(), f"{party.name} still waits for a reply"
            if party.failure is not None and not at_once:
                raise party.failure

    @property
    def _parties(self) -> list[Party]:
        return [*self.senders, *self.readers]

    @property
    def lines(self) -> list[Line]:
        """All messages acknowledged so far."""
        return [line for sender in self.senders for line in list(sender.lines)]

    @property
    def fates(self) -> Fates:
        """What readers have done so far. `asked` is copied last, so that it includes all of `delivered` and
        `deleted`."""
        answered = [(set(reader.fates.delivered), set(reader.fates.deleted)) for reader in self.readers]
        delivered = {message_id for one, _ in answered for message_id in one}
        deleted = {message_id for _, one in answered for message_id in one}
        asked = {
            message_id: where for reader in self.readers for message_id, where in dict(reader.fates.asked).items()
        }
        return Fates(delivered, deleted, asked)

    @property
    def repeated(self) -> int:
        """The number of messages whose send was acknowledged only after a repeat."""
        return sum(sender.repeated for sender in self.senders)


def start_sessions(post_office: PostOffice, receivers: list[str] = RECEIVERS) -> None:
    """Start all sessions as orchestrators, so that each may write to each other."""
    with post_office.client() as operator:
        for session in [*SENDERS, *receivers]:
            operator.start_session(session, role="orchestrator")
