"""Searches: the broker's side of the search index."""
