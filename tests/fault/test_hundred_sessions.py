"""A hundred sessions watch and send at the same time: each receiver gets every message once and in order."""

from __future__ import annotations

import multiprocessing
import os
import random
from typing import TYPE_CHECKING

import pytest

from fault.crowd import CrowdRecord, Task, run_sessions

if TYPE_CHECKING:
    from support.post_office import PostOffice

SESSIONS = 100
PROCESSES = 4


def _run_all(post_office: PostOffice, seconds: float, rate_per_s: float, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)
    endpoints = post_office.start()
    names = [f"agent_{number}" for number in range(SESSIONS)]
    post_office.sessions(*names)
    tasks = [
        Task(
            post_office.data,
            post_office.environ,
            endpoints.router,
            names[number::PROCESSES],
            names,
            seconds,
            rate_per_s,
            seed + 1_000 * number,
        )
        for number in range(PROCESSES)
    ]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        records: list[CrowdRecord] = pool.map(run_sessions, tasks)
    errors = [error for part in records for error in part.errors]
    sent = {message_id: (receiver, seq) for part in records for message_id, receiver, seq in part.sent}
    watched = {session: lines for part in records for session, lines in part.watched.items()}
    missed = dict(sent)
    twice = out_of_order = 0
    for session, lines in watched.items():
        ids = [message_id for message_id, _ in lines]
        twice += len(ids) - len(set(ids))
        numbers = [seq for _, seq in lines]
        out_of_order += numbers != sorted(numbers)
        for message_id, seq in lines:
            assert sent[message_id] == (session, seq)
            missed.pop(message_id, None)
    with capsys.disabled():
        print(
            f"\n  {SESSIONS} sessions for {seconds:.0f} s: {len(sent):,} sent, {len(missed)} missed, {twice} seen "
            f"twice, {out_of_order} mailboxes out of order; seed {seed}"
        )
    assert errors == []
    assert (len(missed), twice, out_of_order) == (0, 0, 0)
    assert len(sent) > SESSIONS * seconds * rate_per_s / 4, "too few messages were sent"
    with post_office.client() as operator:
        assert operator.stats()["mailboxes"]["pending"] == 0, "every message was confirmed"


@pytest.mark.timeout(180)
def test_a_hundred_sessions(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _run_all(post_office, 5.0, 2.0, capsys)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_hundred_sessions_for_a_minute(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The form whose figure is in docs/durability.md."""
    _run_all(post_office, 60.0, 4.0, capsys)
