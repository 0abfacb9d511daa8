"""vCPU quota of the emulated subscription: what is used, what is allowed, who is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.emulators.azure import errors
from tests.emulators.azure.errors import Refused

if TYPE_CHECKING:
    from tests.emulators.azure.skus import Sku
    from tests.emulators.azure.state import Cloud, Pool

REGIONAL: Final = "cores"
SPOT: Final = "lowPriorityCores"
UNLIMITED: Final = 100_000


def usages(cloud: Cloud) -> dict[str, tuple[int, int]]:
    """Return vCPUs used and allowed, by quota name."""
    used = _used(cloud)
    names = {REGIONAL, SPOT} | {sku.family for sku in cloud.skus.values()}
    return {
        name: (used.get(name, 0), cloud.knobs.quotas.get(name, UNLIMITED)) for name in sorted(names)
    }


def take(cloud: Cloud, pool: Pool) -> None:
    """Count the pool in, or refuse it. Arc's machines are its owner's: no quota."""
    if pool.holds_quota or pool.cluster.kind == "arc":
        return
    sku = cloud.skus[pool.vm_size.lower()]
    used = _used(cloud)
    requested = sku.vcpus * pool.count
    for name in _names(pool, sku):
        limit = cloud.knobs.quotas.get(name)
        remaining = None if limit is None else limit - used.get(name, 0)
        if remaining is None or requested <= remaining:
            continue
        region = pool.cluster.location
        if name == REGIONAL:
            error = errors.regional_quota(requested=requested, remaining=remaining, region=region)
        else:
            error = errors.family_quota(
                name, requested=requested, remaining=remaining, region=region
            )
        raise Refused(error)
    pool.holds_quota = True


def _names(pool: Pool, sku: Sku) -> tuple[str, ...]:
    return (SPOT,) if pool.is_spot else (sku.family, REGIONAL)


def _used(cloud: Cloud) -> dict[str, int]:
    used: dict[str, int] = {}
    for cluster in cloud.clusters.values():
        for pool in cluster.pools.values():
            if not pool.holds_quota:
                continue
            sku = cloud.skus[pool.vm_size.lower()]
            for name in _names(pool, sku):
                used[name] = used.get(name, 0) + sku.vcpus * pool.count
    return used
