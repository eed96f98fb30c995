"""Generators: what writes documents.py out of the Structs and their comments."""
