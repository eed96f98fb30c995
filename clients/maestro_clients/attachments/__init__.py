"""Files that leave with a message: the client opens them, and puts them before the message names them."""
