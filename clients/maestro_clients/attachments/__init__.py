"""Files that leave with a message: opened by the client, and put into the post office before the message names them."""
