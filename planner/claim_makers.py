"""Which provisioner may have a claim's machine: only that one can say that it is gone.

KAITO_PROVISIONER can be changed while claims exist. The provisioner that is set then knows nothing
of their machines; taken at its word, each would lose its claim and run on, paid for by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api import names
from planner.fields import text_at

ANNOTATION_PROVISIONER: Final = "kaito.sh/provisioner"
"""On a claim, from its making: the value of KAITO_PROVISIONER then."""

NODE_CLASS_KIND_AGENT_POOL: Final = "AgentPoolNodeClass"
"""Node class of claims that become agent pools of AKS, or node pools of AKS Arc. Not upstream's
`KaitoNodeClass`: where its gpu-provisioner still runs, it would buy a second machine for each."""

_BUYS_NOTHING: Final = "byo"

_BY_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    names.NODE_CLASS_KIND_ONEBOX: ("onebox",),
    NODE_CLASS_KIND_AGENT_POOL: ("aks", "aks-arc"),
}
"""Of claims without the annotation, which a person or an earlier version made."""


def objection_to_provisioner(claim: Mapping[str, Any], provisioner: str) -> str:
    """Return why `provisioner` can't speak for the claim's machine; empty where it can."""
    makers = _makers(claim)
    if provisioner in makers or makers == (_BUYS_NOTHING,):
        return ""
    name = text_at(claim, "metadata", "name")
    if not makers:
        kind = text_at(claim, "spec", "nodeClassRef", "kind")
        return (
            f"NodeClaim {name} names a node class {kind!r} that no provisioner of this platform "
            "serves; delete its machine and then its finalizer by hand"
        )
    return (
        f"NodeClaim {name} was made under KAITO_PROVISIONER={' or '.join(makers)}, and only that "
        f"one can tell of its machine and give it back, not {provisioner}; set it again until "
        "the claim is gone"
    )


def _makers(claim: Mapping[str, Any]) -> tuple[str, ...]:
    told = text_at(claim, "metadata", "annotations", ANNOTATION_PROVISIONER)
    if told:
        return (told,)
    if text_at(claim, "spec", "nodeClassRef", "group") != names.NODE_CLASS_GROUP:
        return ("karpenter",)
    return _BY_KIND.get(text_at(claim, "spec", "nodeClassRef", "kind"), ())
