"""Wakes of idle agents, as a person sees, sets and tries them."""
