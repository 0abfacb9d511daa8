"""One Workspace from nothing to Ready, with a node that is brought up for it."""

from __future__ import annotations

from bench.counts import histories_of, writes_of
from tests.harness.platform import Platform, workspace

MAX_WRITES, MAX_ACTIVITIES, MAX_EVENTS = 12, 15, 150
"""The budget of a cold start (design, section 8)."""


async def measure() -> list[str]:
    """Return the section's lines."""
    async with Platform.running() as platform:
        before = await writes_of(platform)
        await platform.apply(workspace("bench"))
        found = await platform.until_phase("bench", "Ready")
        writes = await writes_of(platform) - before
        _, activities, events = await histories_of(platform, "workspace")
        _, claim_activities, claim_events = await histories_of(platform, "nodeclaim")
    status = found["status"]
    total = sum(writes.values())
    lines = [
        "## One cold start",
        "",
        "Node and pod are kwok's and the model is a stub, so the seconds are the platform's own.",
        "",
        "| count | of the Workspace | of its claim | budget |",
        "|---|---|---|---|",
        f"| activities | {activities} | {claim_activities} | {MAX_ACTIVITIES} |",
        f"| history events | {events} | {claim_events} | {MAX_EVENTS} |",
        f"| writes to the API server, both | {total} | | {MAX_WRITES} |",
        "",
        "Writes: " + ", ".join(f"{count} {what}" for what, count in sorted(writes.items())) + ".",
        "",
        "| step | seconds |",
        "|---|---|",
    ]
    lines += [f"| {one['step']} | {one['seconds']:.1f} |" for one in status["timeline"]]
    lines.append(f"| all | {status['history'][0]['seconds']:.1f} |")
    return lines
