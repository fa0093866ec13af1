"""Offline job: recommends to all users of a run, with engine=local or ray; the same as `twotower batch-recommend`."""

import sys

from twotower.commands.batch_recommend import main

if __name__ == "__main__":
    sys.exit(main())
