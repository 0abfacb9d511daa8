"""Names of agent pools, derived from names of NodeClaims.

AKS allows 12 characters (`^[a-z][a-z0-9]{0,11}$`, learn.microsoft.com/rest/api/aks/agent-pools).
Claims that we render have such names (`api.names.node_claim_name`) and their pools have the same;
a claim that somebody else wrote gets a derived one. 40 bits of a hash are no proof against two
claims with one pool name, so a pool is a claim's only when its tag says so.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from api.errors import ProviderFailed

POOL_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,11}")

TAG_NODE_CLAIM: Final = "kaito.sh/nodeclaim"
"""The claim's name, on the pool: what tells our pool from a stranger's of the same name."""

_DERIVED_PREFIX: Final = "nc"
"""Not `ws`, which claims that we render begin with: the two never meet."""

_DERIVED_HASH_CHARACTERS: Final = 10


def pool_name(claim_name: str) -> str:
    """Return the name of the claim's agent pool; the same claim always gets the same."""
    if POOL_NAME.fullmatch(claim_name):
        return claim_name
    digest = hashlib.sha256(claim_name.encode()).hexdigest()
    return _DERIVED_PREFIX + digest[:_DERIVED_HASH_CHARACTERS]


def check_owner(pool: str, claim_name: str, owner: str) -> None:
    """Do nothing when the pool is the claim's.

    Args:
        pool: Its name.
        claim_name: Who needs a pool of this name.
        owner: The value of its tag `TAG_NODE_CLAIM`; empty when it carries none.

    Raises:
        ProviderFailed: another claim, or a person, made it. Nobody may touch it then; an operator
            renames or removes it.
    """
    if owner == claim_name:
        return
    whose = f"NodeClaim {owner}'s" if owner else "not made by this platform"
    raise ProviderFailed(
        f"the agent pool {pool}, whose name NodeClaim {claim_name} needs, is {whose}; "
        "delete that pool, or the claim"
    )
