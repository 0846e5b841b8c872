"""``python -m latentbench``: the same program as the console script."""

import sys

from latentbench.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
