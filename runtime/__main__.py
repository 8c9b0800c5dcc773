"""Command line of the runtime: `python -m runtime COMMAND FILE...`; see `runtime.shell`."""

import sys

from runtime.shell.main import main

if __name__ == "__main__":
    sys.exit(main())
