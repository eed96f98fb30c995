"""Mail as it comes: watchers, notices, receipts."""
