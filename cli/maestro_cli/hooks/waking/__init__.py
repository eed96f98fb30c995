"""Waking: what hooks have to do with starting a turn of an idle agent."""
