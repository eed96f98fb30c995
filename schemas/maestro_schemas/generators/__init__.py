"""Generators: the files that are written from the Structs (`just schemas`)."""
