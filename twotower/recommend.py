"""`python -m twotower.recommend`: prints the list of one user; the command itself is commands/recommend.py."""

import sys

from twotower.commands.recommend import main

if __name__ == "__main__":
    sys.exit(main())
