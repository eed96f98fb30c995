"""What a request and its answer are, without a socket."""
