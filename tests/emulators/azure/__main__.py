"""`python -m tests.emulators.azure`: the emulator as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal

from tests.emulators.azure.server import AzureEmulator
from tests.emulators.azure.state import Knobs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.azure")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--create-seconds", type=float, default=5.0, help="until a pool is there")
    parser.add_argument("--delete-seconds", type=float, default=5.0, help="until a pool is gone")
    arguments = parser.parse_args()
    knobs = Knobs(create_seconds=arguments.create_seconds, delete_seconds=arguments.delete_seconds)
    asyncio.run(_serve(AzureEmulator(knobs, host=arguments.host, port=arguments.port)))


async def _serve(emulator: AzureEmulator) -> None:
    is_over = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, is_over.set)
    async with emulator:
        print(f"Azure is emulated at {emulator.base_url}", flush=True)  # noqa: T201
        await is_over.wait()


if __name__ == "__main__":
    main()
