"""`make chaos`: many runs in a row on one set of servers, each drawn from its own seed.

The first run's seed is SEED (printed, random when left out); the next ones count up from it. So
any run is lived again by `make chaos SEED=<its seed> RUNS=1`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chaos.run import LIVES, Outcome, run_once
from tests.chaos.world import World

EXIT_BROKEN: Final = 1
MAX_SEED: Final = 10**6


async def _run(runs: int, seed: int, lives: int, folder: Path, *, keeps_going: bool) -> int:
    print(f"chaos: {runs} runs from seed {seed}, {lives} Workspaces each", flush=True)
    outcomes: list[Outcome] = []
    async with World.running() as world:
        for number in range(runs):
            outcome = await run_once(world, seed + number, folder=folder, lives_count=lives)
            outcomes.append(outcome)
            print(f"{number + 1}/{runs} {outcome.line()}", flush=True)
            if not outcome.is_clean:
                print(outcome.story(), flush=True)
                if not keeps_going:
                    break
    broken = [one.seed for one in outcomes if not one.is_clean]
    seconds = sum(one.seconds for one in outcomes)
    print(
        f"chaos: {len(outcomes) - len(broken)} of {len(outcomes)} runs clean in {seconds:.0f} s"
        + (f"; broken seeds: {', '.join(map(str, broken))}" if broken else "")
    )
    return EXIT_BROKEN if broken else 0


def main() -> None:
    """Read the command line, run, and end the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None, help="of the first run; default: random")
    parser.add_argument("--lives", type=int, default=LIVES, help="Workspaces in each run")
    parser.add_argument("--keep-going", action="store_true", help="after a run that was not clean")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "kaito-chaos")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(MAX_SEED) if chosen.seed is None else chosen.seed
    code = asyncio.run(
        _run(chosen.runs, seed, chosen.lives, chosen.folder, keeps_going=chosen.keep_going)
    )
    sys.stdout.flush()
    # temporalio may crash the interpreter at its very end on Python 3.11.
    os._exit(code)


if __name__ == "__main__":
    main()
