"""Files read and written with care: synced, limited, typed, and nobody else's overwritten; plain text for any place."""
