"""The command line; `main` is the entry point of the program."""

from latentbench.cli.app import main

__all__ = ["main"]
