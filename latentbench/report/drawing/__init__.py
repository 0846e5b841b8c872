"""Drawings: figures and pictures as SVG and WEBP, the maps' library and data."""
