"""What the API looks at before it accepts a pool, or its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tests.emulators.azure import errors
from tests.emulators.azure.errors import Refused

if TYPE_CHECKING:
    from tests.emulators.azure.state import Cloud, Cluster, Pool

IN_FLIGHT: Final = frozenset({"Creating", "Updating", "Deleting", "Canceling"})

_MAX_POOL_NAME_CHARACTERS: Final = 12
_RESERVED_LABEL_DOMAINS: Final = ("kubernetes.io", "k8s.io", "kubernetes.azure.com")
_TAG_NAME_REFUSED: Final = frozenset("<>%&\\?/")


def check_conditions(pool: Pool | None, if_match: str, if_none_match: str) -> None:
    """Refuse what the etag headers exclude."""
    if if_none_match == "*" and pool is not None:
        raise Refused(errors.etag_mismatch())
    if if_match and (pool is None or if_match.strip('"') not in {"*", pool.etag}):
        raise Refused(errors.etag_mismatch())


def check_pool(
    cloud: Cloud,
    cluster: Cluster,
    name: str,
    properties: Mapping[str, Any],
    tags: Mapping[str, str],
) -> None:
    """Refuse a pool that is not well written, or that this region does not have."""
    if cluster.kind == "aks" and not _is_pool_name(name):
        raise Refused(errors.invalid_pool(f"The agent pool name '{name}' is invalid."))
    sku = cloud.skus.get(str(properties.get("vmSize", "")).lower())
    if sku is None:
        raise Refused(errors.invalid_vm_size(str(properties.get("vmSize"))))
    bad_tags = [tag for tag in tags if _TAG_NAME_REFUSED & set(tag)]
    if bad_tags:
        raise Refused(errors.invalid_tag_names(bad_tags))
    reserved = [label for label in properties.get("nodeLabels") or {} if _is_reserved(label)]
    if reserved and not cloud.knobs.accepts_reserved_labels:
        raise Refused(errors.invalid_pool(f"Node label '{reserved[0]}' has a reserved prefix."))
    if sku.is_restricted:
        raise Refused(errors.size_not_allowed(sku.name, region=cluster.location))
    usable = set(sku.zones) - set(sku.restricted_zones)
    missing = sorted(set(properties.get("availabilityZones") or []) - usable)
    if missing:
        raise Refused(
            errors.zone_not_supported(",".join(missing), pool=name, region=cluster.location)
        )


def check_power(cluster: Cluster) -> None:
    """Refuse changes to a cluster that was stopped."""
    if cluster.power_state != "Running":
        raise Refused(errors.cluster_stopped())


def check_in_flight(cluster: Cluster, limit: int | None) -> None:
    """Refuse one operation more than run side by side."""
    busy = [pool for pool in cluster.pools.values() if pool.state in IN_FLIGHT]
    if limit is not None and len(busy) >= limit:
        raise Refused(errors.another_operation_in_progress(busy[0].name, busy[0].state))


def _is_pool_name(name: str) -> bool:
    return (
        0 < len(name) <= _MAX_POOL_NAME_CHARACTERS
        and name.isascii()
        and name.isalnum()
        and name == name.lower()
        and name[0].isalpha()
    )


def _is_reserved(label: str) -> bool:
    prefix, slash, _ = label.rpartition("/")
    return bool(slash) and any(
        prefix == domain or prefix.endswith(f".{domain}") for domain in _RESERVED_LABEL_DOMAINS
    )
