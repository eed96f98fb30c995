"""`maestro mail`: the mail of Maestro's own client, over the same messages."""
