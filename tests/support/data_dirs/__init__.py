"""Data directories of older commits, as text, with the tool that records them."""
