"""Command line of the runtime: `python -m runtime COMMAND FILE...`; see `runtime.cli`."""

import sys

from runtime.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
