"""Offline job: measures the published index of a run against exact search; the same as `twotower verify-index`."""

import sys

from twotower.commands.verify_index import main

if __name__ == "__main__":
    sys.exit(main())
