"""The data directory itself: syncs, free space, lock, format, quarantine."""
