"""Studies: runs that answer a question, as presets."""
