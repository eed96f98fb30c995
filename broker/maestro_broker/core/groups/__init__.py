"""Groups: the commands about groups, and who may do what with them."""
