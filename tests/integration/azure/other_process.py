"""Another process of the platform: given an operation's token, it waits for the end."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from activities.clients.azure import OperationState
from tests.emulators.azure import AzureEmulator
from tests.integration.azure.parts import Clients


async def main(service: str, base_url: str, token: str) -> None:
    azure = AzureEmulator()
    azure.base_url = base_url
    async with AsyncExitStack() as stack:
        pools = getattr(Clients(azure, stack), service)()
        while True:
            status = await pools.poll(token, key="claim")
            print(status.state)  # noqa: T201
            if status.state is not OperationState.RUNNING:
                return
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
