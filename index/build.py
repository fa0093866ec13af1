"""Offline job: builds the index of a run (`make build-index` runs this); the same as `twotower build-index`."""

import sys

from twotower.commands.build_index import main

if __name__ == "__main__":
    sys.exit(main())
