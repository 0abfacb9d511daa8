"""Measures the platform and writes docs/benchmarks.md when everything was measured.

Start it on a quiet machine. Nothing is left running, and a running onebox is only read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import cold_start, fleet, machine, nodes, pure, real_model, rollouts
from bench.page import Section, markdown, plain

TARGET: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PARTS: Final = ("cold-start", "rollouts", "fleet", "nodes", "pure")
ALL: Final = "all"
EXIT_FAILED: Final = 1


async def measure(parts: Sequence[str], workspaces: int) -> list[Section]:
    """Run the parts one after the other."""
    sections = []
    for part in parts:
        print(f"bench: {part}", file=sys.stderr, flush=True)
        match part:
            case "cold-start":
                sections += [await cold_start.measure(), await real_model.measure()]
            case "rollouts":
                sections += await rollouts.measure()
            case "fleet":
                sections.append(await fleet.measure(workspaces))
            case "nodes":
                sections.append(await nodes.measure())
            case _:
                sections.append(pure.measure())
    return sections


def head(command: str, described: str) -> list[str]:
    """Return the page's first lines."""
    return [
        "# Benchmarks",
        "",
        f"By `{command}` on {described}.",
        "",
        (
            "Compare the counts: they hardly depend on the machine. The seconds come from a shared "
            "machine, on which runs differ by a fifth and more; they show sizes."
        ),
    ]


def main() -> None:
    """Read the command line, measure, and end the process."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=[ALL, *PARTS], default=ALL)
    parser.add_argument("--workspaces", type=int, default=200, help="in the fleet (default 200)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the page")
    parser.add_argument("--print", action="store_true", help="only print; leave the page alone")
    chosen = parser.parse_args()
    code = _run(chosen)
    sys.stdout.flush()
    sys.stderr.flush()
    # temporalio may crash the interpreter at its very end on Python 3.11.
    os._exit(code)


def _run(chosen: argparse.Namespace) -> int:
    described = machine.describe()
    is_whole = chosen.part == ALL
    try:
        sections = asyncio.run(measure(PARTS if is_whole else [chosen.part], chosen.workspaces))
    except fleet.NotAllReady as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED
    page = markdown(head(" ".join(["python -m bench", *sys.argv[1:]]), described), sections)
    if chosen.json:
        print(json.dumps({"machine": described, "sections": plain(sections)}, indent=2))
    else:
        print(page)
    if is_whole and not chosen.print:
        TARGET.write_text(page)
    return 0


if __name__ == "__main__":
    main()
