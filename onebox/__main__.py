"""`python -m onebox {up,down,status,build,agent,ask}`."""

from __future__ import annotations

import sys

from onebox.cli import main

if __name__ == "__main__":
    main(sys.argv[1:])
