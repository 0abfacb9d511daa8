"""A machine as the agent's contract describes it, and the rules of a request for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from onebox.node.spec import SYSTEM_NODE, NodeSpec

GPU_COUNTS: Final[Mapping[str, int]] = {"onebox.small": 1, "onebox.large": 2}
"""GPUs that a machine of each instance type announces; the machine itself has a CPU only."""

CREATING: Final = "creating"
RUNNING: Final = "running"
FAILED: Final = "failed"
DELETING: Final = "deleting"

LABEL_INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label: the name becomes a Node's name and a host name."""

_TYPE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""A label's value: the type becomes one."""

_PROVIDER_ID: Final = re.compile(r"[a-z][a-z0-9-]*://[!-~]+")

MAX_GPUS: Final = 16
"""Of one machine; the largest that are sold have as many."""


class Refused(Exception):
    """A request that can't be followed, with the code that the contract gives it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep the HTTP status and the machine-readable code."""
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Machine:
    """One machine; `index` decides its addresses."""

    name: str
    instance_type: str
    index: int
    created_at: str
    state: str = CREATING
    message: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    given_provider_id: str = ""
    given_gpu_count: int | None = None
    """Both from a cloud that stands above the agent; else the agent's own count."""

    @property
    def provider_id(self) -> str:
        """Return what the Node carries as `spec.providerID`."""
        return self.given_provider_id or f"onebox:///{self.name}"

    @property
    def gpu_count(self) -> int:
        """Return how many GPUs the node announces."""
        if self.given_gpu_count is not None:
            return self.given_gpu_count
        return GPU_COUNTS[self.instance_type]

    @property
    def node(self) -> NodeSpec:
        """Return the node that this machine runs."""
        return NodeSpec(
            name=self.name,
            index=self.index,
            labels={**self.labels, LABEL_INSTANCE_TYPE: self.instance_type},
            taints=self.taints,
            provider_id=self.provider_id,
        )

    def moved_to(self, state: str, message: str = "") -> Machine:
        """Return this machine in another state."""
        return replace(self, state=state, message=message)

    def to_answer(self) -> dict[str, Any]:
        """Return the JSON that the contract promises."""
        return {
            "name": self.name,
            "instanceType": self.instance_type,
            "state": self.state,
            "message": self.message,
            "tags": dict(self.tags),
            "providerID": self.provider_id,
            "createdAt": self.created_at,
        }

    def to_record(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        return {
            **self.to_answer(),
            "index": self.index,
            "labels": dict(self.labels),
            "taints": [dict(taint) for taint in self.taints],
            "givenProviderID": self.given_provider_id,
            "givenGpuCount": self.given_gpu_count,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Machine:
        """Read a machine back from disk."""
        return cls(
            name=record["name"],
            instance_type=record["instanceType"],
            index=record["index"],
            created_at=record["createdAt"],
            state=record["state"],
            message=record["message"],
            tags=record["tags"],
            labels=record["labels"],
            taints=tuple(record["taints"]),
            given_provider_id=record.get("givenProviderID", ""),
            given_gpu_count=record.get("givenGpuCount"),
        )


def requested_machine(
    name: str, body: Mapping[str, Any], *, index: int, created_at: str
) -> Machine:
    """Read a request for a machine.

    Raises:
        Refused: An unknown instance type, or a name or field that no node can have.
    """
    if not _NAME.fullmatch(name) or name == SYSTEM_NODE:
        raise Refused(400, "BadRequest", f"{name!r} can't be a node's name: use a-z, 0-9 and -")
    instance_type, gpu_count = body.get("instanceType"), _gpu_count(body)
    if not isinstance(instance_type, str) or not _is_known(instance_type, gpu_count):
        known = ", ".join(sorted(GPU_COUNTS))
        raise Refused(
            400, "SkuNotAvailable", f"there is no instance type {instance_type!r}; known: {known}"
        )
    return Machine(
        name=name,
        instance_type=instance_type,
        index=index,
        created_at=created_at,
        tags=_strings(body, "tags"),
        labels=_strings(body, "labels"),
        taints=_taints(body),
        given_provider_id=_provider_id(body),
        given_gpu_count=gpu_count,
    )


def _is_known(instance_type: str, gpu_count: int | None) -> bool:
    """Say whether a machine of this type can be made; who brings the count may name any type."""
    if gpu_count is None:
        return instance_type in GPU_COUNTS
    return _TYPE.fullmatch(instance_type) is not None


def _gpu_count(body: Mapping[str, Any]) -> int | None:
    found = body.get("gpuCount")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_GPUS:
        raise Refused(400, "BadRequest", f"gpuCount must be a whole number from 0 to {MAX_GPUS}")
    return found


def _provider_id(body: Mapping[str, Any]) -> str:
    found = body.get("providerID", "")
    if not isinstance(found, str) or (found and not _PROVIDER_ID.fullmatch(found)):
        raise Refused(400, "BadRequest", "providerID must read cloud://path, without blanks")
    return found


def _strings(body: Mapping[str, Any], key: str) -> dict[str, str]:
    found = body.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Refused(400, "BadRequest", f"{key} must map names to text")
    return dict(found)


def _taints(body: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    found = body.get("taints") or []
    allowed = {"key", "value", "effect"}
    if not isinstance(found, list):
        raise Refused(400, "BadRequest", "taints must be a list")
    for taint in found:
        if not isinstance(taint, dict) or not {"key", "effect"} <= set(taint) <= allowed:
            raise Refused(400, "BadRequest", "a taint has key and effect, and may have a value")
    return tuple(dict(taint) for taint in found)
