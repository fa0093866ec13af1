"""Offline job: searches the fastest index that reaches a wanted recall; the same as `twotower tune-index`."""

import sys

from twotower.commands.tune_index import main

if __name__ == "__main__":
    sys.exit(main())
