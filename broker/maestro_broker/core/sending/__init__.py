"""Sending: from an outgoing message to its deliveries, or to a typed refusal."""
