"""Spaces: what one sample of a data set is, one file each, and what they share."""
