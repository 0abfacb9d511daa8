"""Plays the kubelet: pods get ready, or fail, as their images and settings ask for.

kwok makes every pod ready. Here a broken one must be possible, so the cluster runs kwok for nodes
and deletions only (`Cluster(plays_pods=False)`), and this actor writes the status of pods:

    image with `absent`            ErrImagePull, "not found"
    settings with CRASH_SETTING    CrashLoopBackOff after a second start
    settings with HANG_SETTING     runs and never gets ready
    anything else                  ready after a while

The clock of its nodes can be set: every time that it writes is off by `clock_offset`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from activities.clients.informer import Change, Informer
from activities.clients.kubernetes import CONFIG_MAPS, PODS, ApiError, KubernetesClient
from api import names
from planner.render.config_map import CONFIG_KEY

ABSENT: Final = "absent"
CRASH_SETTING: Final = "seed: 666"
HANG_SETTING: Final = "seed: 777"

COMPLETED: Final = {"terminated": {"exitCode": 0, "reason": "Completed"}}
LAST_WORDS: Final = "ValueError: seed 666 is not supported by this model"


class PodActor:
    """Writes the status of every pod that has a node, once."""

    def __init__(self, kube: KubernetesClient, *, ready_seconds: float = 0.3) -> None:
        self.clock_offset = timedelta()
        self.ready_seconds = ready_seconds
        self._kube = kube
        self._pods = Informer(kube, PODS)
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = random.Random(0)
        self._addresses_count = 0

    async def __aenter__(self) -> Self:
        self._pods.subscribe(self._look)
        self._pods.start()
        await self._pods.wait_synced(30)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pods.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reseed(self, seed: int) -> None:
        """Begin the dice anew."""
        self._random = random.Random(seed)

    def now(self) -> str:
        """Return the time by the nodes' clock."""
        moment = datetime.now(tz=UTC) + self.clock_offset
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _look(self, change: Change) -> None:
        pod = change.obj
        metadata = pod["metadata"]
        if change.type == "DELETED" or metadata.get("deletionTimestamp"):
            return
        if not pod["spec"].get("nodeName") or metadata["uid"] in self._seen:
            return
        self._seen.add(metadata["uid"])
        delay = self.ready_seconds * self._random.uniform(0.3, 1.7)
        task = asyncio.create_task(self._act(pod, delay))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, pod: Mapping[str, Any], delay: float) -> None:
        await asyncio.sleep(delay)
        image = pod["spec"]["containers"][0]["image"]
        role = pod["metadata"]["labels"].get(names.LABEL_ROLE)
        if ABSENT in image:
            await self._write(pod, self._absent(pod, image))
        elif role == names.ROLE_IMAGE_PULL:
            await self._write(pod, {"phase": "Succeeded"})
        else:
            settings = await self._settings(pod)
            if CRASH_SETTING in settings:
                await self._write(pod, self._running(pod, is_ready=False))
                await asyncio.sleep(self.ready_seconds)
                await self._write(pod, self._crashed(pod))
            else:
                await self._write(pod, self._running(pod, is_ready=HANG_SETTING not in settings))

    async def _settings(self, pod: Mapping[str, Any]) -> str:
        for volume in pod["spec"].get("volumes") or []:
            name = (volume.get("configMap") or {}).get("name", "")
            if name:
                found = await self._kube.find(CONFIG_MAPS, name, pod["metadata"]["namespace"])
                if found is not None and CONFIG_KEY in (found.get("data") or {}):
                    return str(found["data"][CONFIG_KEY])
        return ""

    async def _write(self, pod: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        try:
            await self._kube.merge_patch(
                PODS, metadata["name"], body, metadata["namespace"], "status"
            )
        except ApiError as error:
            # It was deleted meanwhile, or its successor has its name.
            if error.status not in {404, 409, 422}:
                raise

    def _running(self, pod: Mapping[str, Any], *, is_ready: bool) -> dict[str, Any]:
        self._addresses_count += 1
        address = f"10.244.{self._addresses_count // 250 % 250}.{self._addresses_count % 250 + 1}"
        now = self.now()
        state = {"running": {"startedAt": now}}
        return {
            "phase": "Running",
            "startTime": now,
            "hostIP": "127.0.0.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": self._conditions(is_ready=is_ready),
            "initContainerStatuses": [
                _container(one, COMPLETED, is_ready=True)
                for one in pod["spec"].get("initContainers") or []
            ],
            "containerStatuses": [
                _container(one, state, is_ready=is_ready) for one in pod["spec"]["containers"]
            ],
        }

    def _crashed(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        ended = {"exitCode": 1, "reason": "Error", "message": LAST_WORDS, "finishedAt": self.now()}
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
        return {
            "phase": "Running",
            "conditions": self._conditions(is_ready=False),
            "containerStatuses": [
                {
                    **_container(one, waiting, is_ready=False),
                    "restartCount": 2,
                    "lastState": {"terminated": ended},
                }
                for one in pod["spec"]["containers"]
            ],
        }

    def _absent(self, pod: Mapping[str, Any], image: str) -> dict[str, Any]:
        message = f'failed to pull "{image}": manifest unknown: not found'
        waiting = {"waiting": {"reason": "ErrImagePull", "message": message}}
        return {
            "phase": "Pending",
            "conditions": self._conditions(is_ready=False),
            "containerStatuses": [
                _container(one, waiting, is_ready=False) for one in pod["spec"]["containers"]
            ],
        }

    def _conditions(self, *, is_ready: bool) -> list[dict[str, Any]]:
        value, now = "True" if is_ready else "False", self.now()
        found = {
            "PodScheduled": "True",
            "Initialized": "True",
            "ContainersReady": value,
            "Ready": value,
        }
        return [
            {"type": name, "status": status, "lastTransitionTime": now}
            for name, status in found.items()
        ]


def _container(
    container: Mapping[str, Any], state: Mapping[str, Any], *, is_ready: bool
) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"sha256:{container['image']}",
        "ready": is_ready,
        "started": is_ready,
        "restartCount": 0,
        "state": dict(state),
    }
