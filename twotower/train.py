"""`python -m twotower.train`: trains a model and publishes a run; the command itself is commands/train.py."""

import sys

from twotower.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
