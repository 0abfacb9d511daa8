"""Offers: what may be asked of a provider, in the order of asking, and what came of it.

Each instance type, the wanted one first; of each, each way to pay; of each, each zone, where the
catalogue knows zones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from api.errors import MAX_MESSAGE_CHARACTERS, InsufficientCapacity, QuotaExceeded, trim
from api.payloads import FailedOffer, InstanceCandidate, Offer, Problem
from api.preset import Catalogue
from api.workspace import CapacityType


def offers_of(
    instance_type: str, paid: Sequence[CapacityType], catalogue: Catalogue
) -> Iterator[Offer]:
    """Yield the offers of one instance type in the order of trying."""
    known = catalogue.instance_type(instance_type)
    zones = known.zones if known is not None else ()
    for capacity_type in paid:
        for zone in zones or ("",):
            yield Offer(instance_type=instance_type, capacity_type=capacity_type, zone=zone)


def failure_of(offer: Offer, failed: Iterable[FailedOffer]) -> FailedOffer | None:
    """Return how the offer failed; None when it may still be tried.

    A quota holds for a whole region, so no other zone is asked after one said that it is used up.
    """
    for one in failed:
        is_everywhere = one.reason == QuotaExceeded.reason()
        if _is_same(one.offer, offer) and (is_everywhere or one.offer.zone == offer.zone):
            return one
    return None


def problem_of(offers: Iterable[Offer], failed: Sequence[FailedOffer]) -> str:
    """Return why none of a candidate's offers can be had; empty while one may still be tried."""
    found = [failure_of(offer, failed) for offer in offers]
    # Zones that fail alike for one reason (a quota) are told once.
    told = dict.fromkeys(_words(one) for one in found if one is not None)
    return "" if None in found else "; ".join(told)


def exhausted(candidates: Sequence[InstanceCandidate], failed: Sequence[FailedOffer]) -> Problem:
    """Return the problem of a Workspace for which nothing can be had: one line per candidate."""
    is_all_quota = all(one.reason == QuotaExceeded.reason() for one in failed)
    reason = QuotaExceeded if is_all_quota else InsufficientCapacity
    head = "None of the candidates can be had:"
    # Each candidate gets its line, however many words a provider makes.
    room = (MAX_MESSAGE_CHARACTERS - len(head)) // max(len(candidates), 1) - 1
    lines = [
        trim(f"{one.instance_type} {one.capacity_type}: {one.problem}", max(room, 1))
        for one in candidates
    ]
    return Problem(reason=reason.reason(), message=trim("\n".join([head, *lines])))


def _is_same(one: Offer, other: Offer) -> bool:
    is_of_type = one.instance_type.casefold() == other.instance_type.casefold()
    return is_of_type and one.capacity_type == other.capacity_type


def _words(failed: FailedOffer) -> str:
    where = f"zone {failed.offer.zone}: " if failed.offer.zone else ""
    return f"{where}{failed.reason}: {failed.message.rstrip('.')}, after {failed.seconds:.0f} s"
