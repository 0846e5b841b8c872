"""A run carried out: planned in units, each done once by a worker, put together into a run folder."""
