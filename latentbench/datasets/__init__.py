"""Datasets: one file a source."""
