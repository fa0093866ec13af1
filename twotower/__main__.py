"""`python -m twotower` is the console script `twotower`."""

import sys

from twotower.commands.console import main

if __name__ == "__main__":
    sys.exit(main())
