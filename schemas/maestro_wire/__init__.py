"""The wire beside libzmq: ZMTP and a small msgpack, for processes that must start fast. No sockets."""
