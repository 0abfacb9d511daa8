"""`python -m bench`: measure and write docs/benchmarks.md; `--print` only prints."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from bench import cold_start, fleet, machine, pure

TARGET: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PARTS: Final = ("cold-start", "fleet", "pure")


async def measure(parts: list[str], workspaces: int) -> str:
    """Run the parts one after the other and return the page."""
    lines = [
        "# Benchmarks",
        "",
        f"By `make bench`. {machine.describe()}.",
        "",
        "The machine is shared, so counts are what to compare; seconds are sizes.",
    ]
    for part in parts:
        print(f"bench: {part}", file=sys.stderr, flush=True)
        match part:
            case "cold-start":
                section = await cold_start.measure()
            case "fleet":
                section = await fleet.measure(workspaces)
            case _:
                section = pure.measure()
        lines += ["", *section]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--workspaces", type=int, default=200, help="in the fleet (default 200)")
    parser.add_argument("--print", action="store_true", help="print the page, write nothing")
    chosen = parser.parse_args()
    page = asyncio.run(measure(chosen.parts or list(PARTS), chosen.workspaces))
    print(page)
    if not chosen.print:
        TARGET.write_text(page)
    sys.stdout.flush()
    # temporalio may crash the interpreter at its very end on Python 3.11.
    os._exit(0)


if __name__ == "__main__":
    main()
