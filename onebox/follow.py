"""Follows a Workspace until it is ready, and says each step as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio.client import Client
from temporalio.service import RPCError

from api import names
from onebox import places
from onebox.errors import EXIT_CODE_NOT_WELL, OneboxError
from onebox.kube import KubeClient, KubeError, object_path
from onebox.progress import Progress

WORKSPACE_READY_DEADLINE_SECONDS: Final = 900.0
"""A node in 10 s, an image in a minute, vLLM ready in 42 s (facts/local_cluster.md); on shared
cores three to five times that. 900 s is stuck."""

RETRY_GRACE_SECONDS: Final = 20.0
"""How long a Workspace may still say that it failed after it was told to try again; a guess."""

FAILED: Final = "Failed"
POLL_SECONDS: Final = 1.0
HEARTBEAT_CHARACTERS: Final = 160
CAUSE_CHARACTERS: Final = 500


@dataclass
class Teller:
    """Remembers what was said, so that only news is said."""

    progress: Progress
    said: dict[str, str] = field(default_factory=dict)

    def tell(self, subject: str, text: str) -> None:
        """Say something about a subject, unless it was the last thing said about it."""
        if text and self.said.get(subject) != text:
            self.said[subject] = text
            self.progress.say(subject, text)


async def follow(kube: KubeClient, workspace: Mapping[str, Any], progress: Progress) -> None:
    """Return when the Workspace is ready.

    One that failed in an earlier `up` is told to try again, once.

    Raises:
        OneboxError: It failed, or is not ready within the deadline.
    """
    teller = Teller(progress)
    client: Client | None = None
    now = asyncio.get_running_loop().time
    give_up_at, failure_counts_at = now() + WORKSPACE_READY_DEADLINE_SECONDS, now()
    is_first_look = True
    current: dict[str, Any] = {}
    while now() < give_up_at:
        try:
            current = await asyncio.to_thread(kube.get, object_path(workspace)) or {}
        except KubeError as error:
            teller.tell("cluster", str(error))
        client = client or await _connect()
        has_failed = current.get("status", {}).get("phase") == FAILED
        if has_failed and is_first_look and client:
            await client.get_workflow_handle(_workflow_id(workspace)).signal(
                "retry", {"reason": "onebox up"}
            )
            teller.tell("workspace", "failed earlier; told to try again")
            failure_counts_at = now() + RETRY_GRACE_SECONDS
        elif has_failed and now() >= failure_counts_at:
            raise _not_ready(workspace, "failed", current)
        is_first_look = False
        if not has_failed:
            for subject, text in timeline_lines(current):
                teller.tell(subject, text)
        if is_ready(current):
            return
        for subject, text in await _pending(client, workspace):
            teller.tell(subject, text)
        await asyncio.sleep(POLL_SECONDS)
    limit = f"is not ready after {WORKSPACE_READY_DEADLINE_SECONDS:.0f} s"
    raise _not_ready(workspace, limit, current)


def timeline_lines(workspace: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Turn `.status.timeline` into (step, what to say)."""
    for entry in workspace.get("status", {}).get("timeline", []):
        state, step = str(entry.get("state", "")), str(entry.get("step", ""))
        message = str(entry.get("message", ""))
        if state.lower() in {"", "pending"}:
            continue
        seconds = f" in {entry.get('seconds', 0):.1f} s" if state.lower() == "done" else ""
        yield step, f"{state.lower()}{seconds}{': ' if message else ''}{message}"


def is_ready(workspace: Mapping[str, Any]) -> bool:
    """Say whether the present generation serves."""
    conditions = {
        condition["type"]: condition
        for condition in workspace.get("status", {}).get("conditions", [])
    }
    ready = conditions.get("WorkspaceSucceeded", {})
    generation = workspace.get("metadata", {}).get("generation", 0)
    return ready.get("status") == "True" and int(ready.get("observedGeneration", 0)) >= int(
        generation
    )


def heartbeat_text(details: Sequence[bytes]) -> str:
    """Read what an activity's last heartbeat said."""
    if not details:
        return ""
    try:
        said = json.loads(details[0])
    except ValueError:
        return ""
    if isinstance(said, dict):
        said = said.get("message") or said.get("progress") or json.dumps(said)
    return str(said)[:HEARTBEAT_CHARACTERS]


def conditions_text(workspace: Mapping[str, Any]) -> str:
    """Return what is not well, each cause once."""
    causes: dict[str, str] = {}
    for condition in workspace.get("status", {}).get("conditions", []):
        if condition["status"] != "True":
            text = f"{condition['type']}: {condition.get('message', '')}"
            causes.setdefault(str(condition.get("reason", "")), text[:CAUSE_CHARACTERS])
    lines = [f"    {reason}, {text}" for reason, text in causes.items()]
    return "\n".join(lines) or "    (no condition was reported)"


def _not_ready(workspace: Mapping[str, Any], how: str, current: Mapping[str, Any]) -> OneboxError:
    name = workspace["metadata"]["name"]
    namespace = workspace["metadata"].get("namespace", "default")
    return OneboxError(
        f"the Workspace {namespace}/{name} {how}:\n{conditions_text(current)}",
        f"everything runs on for a look: kubectl describe workspace {name}; "
        f"temporal workflow describe -w {_workflow_id(workspace)}; {places.log() / 'worker.log'}",
        exit_code=EXIT_CODE_NOT_WELL,
    )


def _workflow_id(workspace: Mapping[str, Any]) -> str:
    metadata = workspace["metadata"]
    return names.workspace_workflow_id(metadata.get("namespace", "default"), metadata["name"])


async def _connect() -> Client | None:
    try:
        return await Client.connect(places.TEMPORAL_ADDRESS)
    except (RPCError, RuntimeError):
        return None


async def _pending(client: Client | None, workspace: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the running activities say by their heartbeats."""
    if client is None:
        return []
    try:
        description = await client.get_workflow_handle(_workflow_id(workspace)).describe()
    except (RPCError, RuntimeError):
        return []
    found = []
    for activity in description.raw_description.pending_activities:
        text = heartbeat_text([part.data for part in activity.heartbeat_details.payloads])
        if activity.attempt > 1:
            text = f"attempt {activity.attempt}: {text or activity.last_failure.message}"
        found.append((activity.activity_type.name, text))
    return found
