"""`maestro inbox`: one page, or each message as it comes."""
