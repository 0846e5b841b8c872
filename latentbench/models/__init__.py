"""Models: one file each, and the networks they share."""
