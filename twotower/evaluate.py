"""`python -m twotower.evaluate`: compares runs with baselines; the command itself is commands/evaluate.py."""

import sys

from twotower.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
