"""The acts of `maestro demo`, and the temporary post office that they use."""
