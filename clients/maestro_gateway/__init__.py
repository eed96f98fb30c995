"""The HTTP gateway: the documented REST endpoints, WebSocket and server-sent events, over the broker.

Rule: thin. It is a client of the broker like any other, in a process of its own, and every rule about mail and
sessions is the broker's; here is only what HTTP adds. Needs the extra `http`.
"""
