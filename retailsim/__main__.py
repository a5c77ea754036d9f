"""`python -m retailsim <verb> [flags]` is `retailsim <verb> [flags]`."""

import sys

from retailsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
