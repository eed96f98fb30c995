"""Archive: search, threads, figures and exports over HTTP."""
