"""One module per group of routes; a route validates, calls and returns."""
