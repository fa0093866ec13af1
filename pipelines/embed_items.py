"""Offline job: embeds a catalogue, with engine=local or ray; the same as `twotower embed-items`."""

import sys

from twotower.commands.embed_items import main

if __name__ == "__main__":
    sys.exit(main())
