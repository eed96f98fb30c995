"""Commands about the mail of before: search, threads, figures, exports."""
