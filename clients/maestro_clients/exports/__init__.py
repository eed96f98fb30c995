"""Exports: conversations as documents to keep: Markdown, JSON Lines, or one HTML page."""
