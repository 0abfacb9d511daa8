"""Who may speak for a claim's machine after KAITO_PROVISIONER was changed."""

from __future__ import annotations

from typing import Any

import pytest

from planner.claim_makers import objection_to_provisioner


def claim(made_by: str = "", *, kind: str = "", group: str = "kaito.sh") -> dict[str, Any]:
    annotations = {"kaito.sh/provisioner": made_by} if made_by else {}
    return {
        "metadata": {"name": "ws0123456789", "annotations": annotations},
        "spec": {"nodeClassRef": {"group": group, "kind": kind, "name": "default"}},
    }


@pytest.mark.parametrize(
    ("made", "provisioner"),
    [
        pytest.param(claim("aks", kind="AgentPoolNodeClass"), "aks", id="its own"),
        pytest.param(claim("byo", kind="OneboxNodeClass"), "aks", id="byo bought nothing"),
        pytest.param(claim(kind="OneboxNodeClass"), "onebox", id="an old claim of onebox"),
        pytest.param(claim(kind="AgentPoolNodeClass"), "aks", id="an old claim of AKS"),
        pytest.param(claim(kind="AgentPoolNodeClass"), "aks-arc", id="an old claim of Arc"),
    ],
)
def test_whoever_has_the_machine_may_speak_for_it(made: dict[str, Any], provisioner: str) -> None:
    assert objection_to_provisioner(made, provisioner) == ""


@pytest.mark.parametrize(
    ("made", "provisioner", "words"),
    [
        (claim("aks", kind="AgentPoolNodeClass"), "aks-arc", "KAITO_PROVISIONER=aks,"),
        (claim("aks", kind="AgentPoolNodeClass"), "byo", "KAITO_PROVISIONER=aks,"),
        (claim(kind="AgentPoolNodeClass"), "onebox", "KAITO_PROVISIONER=aks or aks-arc,"),
        (claim(kind="OneboxNodeClass"), "byo", "KAITO_PROVISIONER=onebox,"),
        (
            claim(kind="AKSNodeClass", group="karpenter.azure.com"),
            "aks",
            "KAITO_PROVISIONER=karpenter,",
        ),
        (claim(kind="KaitoNodeClass"), "aks", "by hand"),
    ],
)
def test_nobody_else_may_and_the_claim_says_who(
    made: dict[str, Any], provisioner: str, words: str
) -> None:
    objection = objection_to_provisioner(made, provisioner)
    assert objection.startswith("NodeClaim ws0123456789 ")
    assert words in objection
