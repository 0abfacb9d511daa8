"""What a test tells the emulator to do wrong, to which call, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tests.emulators.azure.errors import ArmError


class Call(StrEnum):
    """The calls of the API, by what they ask for."""

    GET_CLUSTER = "get-cluster"
    PUT_POOL = "put-pool"
    GET_POOL = "get-pool"
    LIST_POOLS = "list-pools"
    DELETE_POOL = "delete-pool"
    ABORT_POOL = "abort-pool"
    GET_OPERATION = "get-operation"
    LIST_USAGES = "list-usages"
    LIST_SKUS = "list-skus"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Refuse:
    """Answer the request with this error."""

    error: ArmError


@dataclass(frozen=True)
class FailLate:
    """Accept the request, and let its operation fail."""

    error: ArmError
    after_seconds: float | None = None
    """None: when it would have succeeded."""


@dataclass(frozen=True)
class Cancel:
    """Accept the request, and let its operation end as Canceled."""

    after_seconds: float | None = None


@dataclass(frozen=True)
class Hang:
    """Accept the request; its operation never ends."""


@dataclass(frozen=True)
class Slow:
    """Accept the request; its operation takes this long."""

    seconds: float


@dataclass(frozen=True)
class Stall:
    """Keep the request waiting before it is looked at."""

    seconds: float


@dataclass(frozen=True)
class LoseRequest:
    """Drop the connection before the request is looked at."""


@dataclass(frozen=True)
class LoseAnswer:
    """Carry the request out, and drop the connection instead of answering."""


REQUEST_EFFECTS = (Refuse, Stall, LoseRequest, LoseAnswer)
Effect = Refuse | FailLate | Cancel | Hang | Slow | Stall | LoseRequest | LoseAnswer


@dataclass
class Fault:
    """One rule."""

    effect: Effect
    calls: frozenset[Call]
    pool: str | None = None
    vm_size: str | None = None
    remaining_count: int | None = 1
    """None: until it is taken away."""
    skip_count: int = 0
    """Let so many matching calls pass first."""


@dataclass
class Faults:
    """All rules, tried in order; the first that matches is used up by one."""

    rules: list[Fault] = field(default_factory=list)

    def add(
        self,
        effect: Effect,
        *calls: Call,
        pool: str | None = None,
        vm_size: str | None = None,
        times: int | None = 1,
        skip: int = 0,
    ) -> Fault:
        """Add a rule; without `calls` it is about PUT of a pool."""
        fault = Fault(effect, frozenset(calls or (Call.PUT_POOL,)), pool, vm_size, times, skip)
        self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """Take all rules away."""
        self.rules.clear()

    def take(
        self, call: Call, *, pool: str = "", vm_size: str = "", is_about_request: bool
    ) -> Effect | None:
        """Return what shall happen to this call, and count it."""
        for rule in self.rules:
            if (
                call not in rule.calls
                or isinstance(rule.effect, REQUEST_EFFECTS) is not is_about_request
                or (rule.pool is not None and rule.pool != pool)
                or (rule.vm_size is not None and rule.vm_size.lower() != vm_size.lower())
            ):
                continue
            if rule.skip_count > 0:
                rule.skip_count -= 1
                continue
            if rule.remaining_count is not None:
                rule.remaining_count -= 1
                if rule.remaining_count <= 0:
                    self.rules.remove(rule)
            return rule.effect
        return None
