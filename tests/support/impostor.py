"""Impostor: a server that is not our broker, for clients to meet.

Rule: it gives prepared answers to any request, and then one proper answer, so that a client that took a stray
frame for the beginning of the next answer is found out.
"""

from __future__ import annotations

import os
import threading

import zmq


class Impostor:
    """A ROUTER that gives prepared answers to any request."""

    def __init__(self, directory: str, *answers: list[bytes]) -> None:
        os.makedirs(directory, exist_ok=True)
        self.address = f"ipc://{directory}/impostor"
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(self.address)
        self._answers = list(answers)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers and self._router.poll(10_000):
            peer, header, request_id, *_ = self._router.recv_multipart()
            for answer in self._answers.pop(0), [b"M1", request_id, b"200", b"\x80"]:
                parts = [
                    header if part == b"<header>" else request_id if part == b"<id>" else part for part in answer
                ]
                self._router.send_multipart([peer, *parts])

    def close(self) -> None:
        """Wait until it has answered."""
        self._thread.join()
        self._context.destroy(linger=0)
