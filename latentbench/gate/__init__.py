"""Is this revision slower than that one? Two checkouts in turns, in fresh processes."""
