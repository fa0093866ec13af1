"""Job: every model on chosen data sets, one process a run, resumable, one table; the same as `twotower benchmark`."""

import sys

from twotower.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
