"""`/openapi.json` and `/docs`."""
