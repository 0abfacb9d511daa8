"""What would be tried for new nodes, in order, and what it would cost: for people and for waiting.

Prices are list prices of the catalogue. Spot prices change by the minute, and none are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.payloads import FailedOffer, InstanceCandidate
from api.preset import Catalogue
from api.workspace import CapacityType, Workspace
from planner.offers import offers_of, problem_of
from planner.options import Option
from planner.world import PlatformSettings


def candidates_of(
    options: Iterable[Option],
    workspace: Workspace,
    settings: PlatformSettings,
    catalogue: Catalogue,
    failed_offers: Sequence[FailedOffer] = (),
) -> list[InstanceCandidate]:
    """Return each instance type with each way to pay for it, in the order of trying."""
    return [
        _candidate(option, paid, catalogue, failed_offers)
        for option in options
        if option.instance_type
        for paid in capacity_types(workspace, settings)
    ]


def _candidate(
    option: Option, paid: CapacityType, catalogue: Catalogue, failed_offers: Sequence[FailedOffer]
) -> InstanceCandidate:
    name = option.instance_type
    if option.problem is not None:
        return InstanceCandidate(
            instance_type=name, capacity_type=paid, problem=option.problem.message
        )
    return InstanceCandidate(
        instance_type=name,
        capacity_type=paid,
        nodes=option.node_count,
        usd_per_hour=price_of(name, paid, option.node_count, catalogue),
        problem=problem_of(offers_of(name, (paid,), catalogue), failed_offers),
    )


def capacity_types(workspace: Workspace, settings: PlatformSettings) -> tuple[CapacityType, ...]:
    """Return the ways to pay for new nodes, in the order of trying."""
    match workspace.resource.capacity_type if settings.sells_spot else None:
        case CapacityType.SPOT:
            return (CapacityType.SPOT,)
        case CapacityType.SPOT_WITH_FALLBACK:
            return (CapacityType.SPOT, CapacityType.ON_DEMAND)
    return (CapacityType.ON_DEMAND,)


def price_of(
    instance_type: str, paid: CapacityType, nodes: int, catalogue: Catalogue
) -> float | None:
    """Return the list price of an hour of so many nodes; None where nobody knows it."""
    if nodes == 0:
        return 0.0
    known = catalogue.instance_type(instance_type)
    if known is None or known.price is None or paid is not CapacityType.ON_DEMAND:
        return None
    # To a hundredth of a cent: sums of decimal fractions show what computers make of them.
    return round(known.price.usd_per_hour * nodes, 4)
