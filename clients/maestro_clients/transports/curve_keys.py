"""CURVE keys: new key pairs for other machines.

Rule: libzmq makes them, from the kernel's randomness.
"""

from __future__ import annotations

import zmq

from maestro_runtime.key_files import KeyPair
from maestro_schemas.errors import MaestroError


def new_pair() -> KeyPair:
    """A new Curve25519 pair. Raises MaestroError CURVE_MISSING."""
    if not zmq.has("curve"):
        raise MaestroError(
            "CURVE_MISSING",
            "this machine's libzmq was built without CURVE, so it can make no keys",
            "Install pyzmq from its wheel: pip install --force-reinstall pyzmq",
        )
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())
