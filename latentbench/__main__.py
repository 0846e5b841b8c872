"""``python -m latentbench`` and the console script: the program, of which Ctrl-C breaks off the loading too."""

import gc
import os
import signal
import sys


def _leave(number: int, frame: object) -> None:
    """End at once: nothing is begun while modules are loaded, and an error raised in the middle of one would be told as a
    fault of that module, if at all."""
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def main() -> int:
    """Run the program on the words of the command line; returns the exit code. The process is to end then."""
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if own:
        signal.signal(signal.SIGINT, _leave)
    from latentbench.cli import app

    if own:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = app.main()
    gc.freeze()  # an interpreter that ends looks through all that torch and the page's library hold, for a second
    return code


if __name__ == "__main__":
    sys.exit(main())
