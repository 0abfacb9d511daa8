"""A request that began is finished, whoever gives up on it."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from activities.node_claim import asking


async def test_an_answer_comes_back_and_the_activity_beats_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "BEAT_SECONDS", 0.01)
    environment = ActivityEnvironment()
    sentences: list[str] = []
    environment.on_heartbeat = lambda *details: sentences.append(details[0])

    async def answer() -> str:
        await asyncio.sleep(0.05)
        return "yes"

    async def ask() -> str:
        return await asking.finish(answer(), "asking")

    assert await environment.run(ask) == "yes"
    assert len(sentences) > 1


async def test_a_refusal_comes_back() -> None:
    async def refuse() -> None:
        raise ValueError("no")

    async def ask() -> None:
        await asking.finish(refuse(), "asking")

    with pytest.raises(ValueError, match="no"):
        await ActivityEnvironment().run(ask)


async def test_who_gives_up_waits_until_the_request_has_ended() -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def buy() -> None:
        began.set()
        await may_end.wait()
        ended.set()

    async def ask() -> None:
        await asking.finish(buy(), "asking")

    asker = asyncio.create_task(ActivityEnvironment().run(ask))
    await began.wait()
    asker.cancel()
    await asyncio.sleep(0.01)
    assert not asker.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert ended.is_set()
