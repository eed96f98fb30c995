"""Archive: search, threads, figures and exports, as a person reads them."""
