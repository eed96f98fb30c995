"""The page: its files and who may use it."""
