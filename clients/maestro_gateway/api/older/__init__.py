"""Older calls: those of the clients that Maestro has shipped, over the calls of today."""
