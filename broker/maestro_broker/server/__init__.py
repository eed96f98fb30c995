"""The process: start and stop, the main loop, the dispatch of requests, status and metrics."""
