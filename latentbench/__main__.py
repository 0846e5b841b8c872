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


def _fill() -> None:
    """Have standard input, output and error be files, where the program was started without: what is opened next would take
    their place, and be written to."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115 - to its end
            setattr(sys, name, stream)


def main() -> int:
    """Run the program on the words of the command line; returns the exit code. The process is to end then."""
    _fill()
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
