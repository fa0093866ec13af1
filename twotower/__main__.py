"""`python -m twotower` is the console script `twotower`."""

import sys

from twotower.console import main

if __name__ == "__main__":
    sys.exit(main())
