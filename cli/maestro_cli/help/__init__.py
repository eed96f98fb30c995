"""Help: what `--help` prints."""
