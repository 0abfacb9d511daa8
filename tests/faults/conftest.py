"""Fault tests: a platform of real servers, something that breaks, and what must hold after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.harness.platform import Platform

_REPORT = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


@pytest_asyncio.fixture
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[Platform]:
    """A platform of its own with one worker, slow enough to be hit in the middle of a step."""
    async with Platform.running(boot_seconds=1.5, pod_ready_seconds=1.0) as running:
        yield running
        report = request.node.stash.get(_REPORT, None)
        if report is not None and report.failed:
            # Shown by pytest as output of the teardown; the servers are gone afterwards.
            print(await running.describe())  # noqa: T201
        await running.assert_no_task_failed()
        running.assert_nothing_bought_twice()
