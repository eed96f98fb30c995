"""Requests that wait for their answers: correlation, deadlines, resends, reconnects."""
