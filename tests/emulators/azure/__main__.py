"""`python -m tests.emulators.azure`: the emulator as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from tests.emulators.azure.onebox_nodes import OneboxNodes
from tests.emulators.azure.server import AzureEmulator
from tests.emulators.azure.state import Knobs


def main() -> None:
    arguments = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    knobs = Knobs(
        create_seconds=arguments.create_seconds,
        delete_seconds=arguments.delete_seconds,
        quotas=dict(arguments.quota),
    )
    emulator = AzureEmulator(knobs, host=arguments.host, port=arguments.port)
    asyncio.run(_serve(emulator, arguments.node_agent))


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m tests.emulators.azure")
    whole.add_argument("--host", default="127.0.0.1")
    whole.add_argument("--port", type=int, default=8080)
    whole.add_argument("--create-seconds", type=float, default=5.0, help="until a pool is there")
    whole.add_argument("--delete-seconds", type=float, default=5.0, help="until a pool is gone")
    whole.add_argument(
        "--quota",
        type=_quota,
        action="append",
        default=[],
        metavar="FAMILY=VCPUS",
        help="vCPUs that the subscription may have of a family; what is not named has no limit",
    )
    whole.add_argument(
        "--node-agent",
        default="",
        metavar="URL",
        help="onebox's node agent, which then makes a real node for each node of a pool "
        "(default: nothing stands behind pools)",
    )
    return whole


def _quota(text: str) -> tuple[str, int]:
    family, _, vcpus = text.partition("=")
    if not family:
        raise argparse.ArgumentTypeError(f"{text!r} is no quota; write FAMILY=VCPUS")
    return family, int(vcpus)


async def _serve(emulator: AzureEmulator, node_agent: str) -> None:
    is_over = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, is_over.set)
    if node_agent:
        # Before it serves: whoever asks must not hear that a pool with a living node is none.
        adopted = await OneboxNodes(emulator, node_agent).adopt()
        print(f"nodes come from {node_agent}; pools found again: {adopted}", flush=True)  # noqa: T201
    async with emulator:
        print(f"Azure is emulated at {emulator.base_url}", flush=True)  # noqa: T201
        await is_over.wait()


if __name__ == "__main__":
    main()
