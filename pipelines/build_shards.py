"""Offline job: builds the index of a run in shards, with engine=local or ray; the same as `twotower build-shards`."""

import sys

from twotower.commands.build_shards import main

if __name__ == "__main__":
    sys.exit(main())
