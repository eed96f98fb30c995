"""The HTTP gateway: the documented REST calls, WebSocket and server-sent events, in front of the broker.

Rule: thin. The gateway is a client of the broker like any other, in a process of its own. Every rule about messages
and sessions is the broker's; this package adds only what HTTP needs.
"""
