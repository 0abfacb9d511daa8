"""onebox for real: everything is started once, and taken down at the end whatever happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UP_SECONDS = 1500
"""25 min: from an empty cache, with every binary and image to build, on 2 shared cores."""

NAME = "smollm2"
MODEL = "smollm2-135m-instruct"


class Onebox:
    """The commands that a person types, and what they print."""

    def __init__(self) -> None:
        self.first_up = ""
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(ROOT / ".run" / "admin.kubeconfig"),
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
        }

    def run(
        self, *command: str, seconds: float = 60, stdin: str | None = None, code: int | None = 0
    ) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        words = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{' '.join(command)}:\n{words}"
        return words

    def onebox(self, *words: str, seconds: float = 300, code: int | None = 0) -> str:
        return self.run(sys.executable, "-m", "onebox", *words, seconds=seconds, code=code)

    def kubectl(self, *words: str, stdin: str | None = None, code: int | None = 0) -> str:
        return self.run("kubectl", *words, stdin=stdin, code=code, seconds=120)

    def temporal(self, *words: str) -> str:
        return self.run("temporal", "workflow", *words)

    def workspace(self, name: str = NAME) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "workspace", name, "-o", "json"))
        return found

    def condition(self, kind: str, name: str = NAME) -> Mapping[str, Any]:
        conditions = self.workspace(name).get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def until(self, claim: Callable[[], bool], what: str, seconds: float = 120) -> None:
        give_up_at = time.monotonic() + seconds
        while not claim():
            if time.monotonic() > give_up_at:
                described = self.kubectl("get", "workspaces,pods,nodeclaims", "-A", "-o", "wide")
                pytest.fail(f"{what} did not happen within {seconds} s:\n{described}")
            time.sleep(0.5)

    def failed_workflow_tasks(self) -> list[Any]:
        """Return the failures of workflow tasks in all histories: bugs of ours.

        A signal that meets a workflow's end makes the server ask again; that is none.
        """
        failed = []
        listed = json.loads(self.temporal("list", "-o", "json"))
        assert listed, "there are no workflows"
        for one in listed:
            execution = one["execution"]
            words = self.temporal(
                "show", "-w", execution["workflowId"], "-r", execution["runId"], "-o", "json"
            )
            found = (
                event.get("workflowTaskFailedEventAttributes")
                for event in json.loads(words)["events"]
            )
            failed += [
                (execution, one) for one in found if one and "UNHANDLED_COMMAND" not in one["cause"]
            ]
        return failed

    def until_ready(self, seconds: float = 300, *, name: str = NAME) -> None:
        self.until(
            lambda: self.condition("WorkspaceSucceeded", name).get("status") == "True",
            "WorkspaceSucceeded",
            seconds,
        )


@pytest.fixture(scope="session")
def onebox() -> Iterator[Onebox]:
    box = Onebox()
    try:
        box.first_up = box.onebox("up", seconds=UP_SECONDS)
        yield box
    finally:
        box.onebox("down", seconds=120, code=None)
