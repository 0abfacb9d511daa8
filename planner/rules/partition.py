"""Rules on taking a part of each node's accelerators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.workspace import Partition, PartitionMode
from planner.mig import FORMAT, PROFILES, memory_bytes
from planner.rules.base import Case, Fault, Rule, number, quote, rule, suggest

_FIELD: Final = "resource.partition"


@rule(_FIELD)
def partition_is_of_existing_nodes(case: Case) -> Iterator[Fault]:
    """Accelerators are shared on existing nodes; new nodes come whole."""
    if _partition(case) is not None and case.settings.provisions_nodes:
        yield Fault(
            "nodes that the platform makes are not partitioned",
            "remove it, or use an installation without provisioning (bring your own nodes)",
        )


@rule(_FIELD)
def partition_is_for_serving(case: Case) -> Iterator[Fault]:
    """Tuning takes whole accelerators."""
    if _partition(case) is not None and case.workspace.tuning is not None:
        yield Fault("a model can't be tuned on a part of a node", "remove it")


@rule(f"{_FIELD}.profile")
def mig_profile_is_known(case: Case) -> Iterator[Fault]:
    """Mode mig names a profile that a GPU can be cut into."""
    partition = _partition(case)
    if partition is None or partition.mode is not PartitionMode.MIG:
        return
    profile = partition.profile
    if FORMAT.fullmatch(profile) is None:
        told = f"{quote(profile)} is no MIG profile" if profile else "mode mig needs a profile"
        yield Fault(told, "write it like 1g.10gb: parts of compute and GB of memory")
    # New GPUs bring new profiles, and the platform must not stand in their way.
    elif profile not in PROFILES and not case.bypasses_checks:
        yield Fault(f"no GPU has the MIG profile {quote(profile)}", _similar(profile))


@rule(f"{_FIELD}.count")
def partition_count_is_sensible(case: Case) -> Iterator[Fault]:
    """Mode accelerator says how many GPUs of each node it takes."""
    partition = _partition(case)
    if partition is None or partition.mode is not PartitionMode.ACCELERATOR:
        return
    count = partition.count
    if count is None:
        yield Fault("mode accelerator needs a count", "set it to the GPUs to take of each node")
    elif count < 1:
        yield Fault(f"{number(count)} GPUs can't be had", "set it to 1 or more")


@rule(_FIELD)
def partition_has_fields_of_mode(case: Case) -> Iterator[Fault]:
    """Mode mig has no count, and mode accelerator no profile."""
    partition = _partition(case)
    if partition is None:
        return
    if partition.mode is PartitionMode.MIG and partition.count is not None:
        yield Fault(
            "mode mig takes one slice of each node, and no other count",
            "remove it, or use mode accelerator",
            f"{_FIELD}.count",
        )
    if partition.mode is PartitionMode.ACCELERATOR and partition.profile:
        yield Fault(
            "mode accelerator takes whole GPUs, which have no profile",
            "remove it, or use mode mig",
            f"{_FIELD}.profile",
        )


@rule(f"{_FIELD}.count")
def partition_fits_node(case: Case) -> Iterator[Fault]:
    """No more GPUs are taken of a node than its instance type has."""
    partition, known = _partition(case), case.instance_type
    if partition is None or known is None or partition.count is None:
        return
    if partition.mode is PartitionMode.ACCELERATOR and partition.count > known.gpu_count:
        yield Fault(
            f"{known.name} has {known.gpu_count} GPUs, and {number(partition.count)} of them are "
            "asked for",
            f"set it to at most {known.gpu_count}, or choose a larger instance type",
        )


def _partition(case: Case) -> Partition | None:
    return case.workspace.resource.partition


def _similar(profile: str) -> str:
    """Return a remedy with profiles of as much compute, or with the ones that look alike."""
    parts = profile.partition(".")[0]
    same = [one for one in PROFILES if one.startswith(f"{parts}.")]
    same.sort(key=lambda one: memory_bytes(one) or 0)
    return f"choose one of {', '.join(same)}" if same else suggest(profile, sorted(PROFILES))


RULES: Final[tuple[Rule, ...]] = (
    partition_is_of_existing_nodes,
    partition_is_for_serving,
    mig_profile_is_known,
    partition_count_is_sensible,
    partition_has_fields_of_mode,
    partition_fits_node,
)
