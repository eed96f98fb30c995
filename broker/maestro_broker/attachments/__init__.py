"""Attachments: attached files, stored once, and beside each message that names them."""
