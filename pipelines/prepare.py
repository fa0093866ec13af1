"""Offline job: reads a data set once and keeps it as Parquet files; the same as `twotower prepare`."""

import sys

from twotower.commands.prepare import main

if __name__ == "__main__":
    sys.exit(main())
