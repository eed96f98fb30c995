"""Commands under the names that Maestro's own client gives them."""
