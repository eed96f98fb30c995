"""`maestro doctor`: what it looks at."""
