"""``python -m breaker``: the same command line as the ``breaker`` script."""

import sys

from breaker.cli import main

if __name__ == "__main__":
    sys.exit(main())
