"""Two runs, or many in a row: what became better or worse, and what cannot be said."""
