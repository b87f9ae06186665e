"""`python -m nlp_compliance` is the command line."""

import sys

from nlp_compliance.cli import main

if __name__ == "__main__":
    sys.exit(main())
