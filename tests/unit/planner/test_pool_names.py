"""Names of agent pools."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.errors import ProviderFailed
from planner.pool_names import check_owner, pool_name

RULE = re.compile(r"^[a-z][a-z0-9]{0,11}$")


def test_a_claim_of_ours_and_its_pool_have_one_name() -> None:
    claim = names.node_claim_name("0b6c5e1e-uid", "Standard_NC24ads_A100_v4", 0)

    assert pool_name(claim) == claim


@given(st.text(min_size=1, max_size=253))
def test_every_claim_gets_a_name_that_azure_takes(claim: str) -> None:
    assert RULE.match(pool_name(claim))
    assert pool_name(claim) == pool_name(claim)


def test_claims_of_others_get_names_apart() -> None:
    claims = [f"default-{index:04}-abcde" for index in range(2000)]

    assert len({pool_name(claim) for claim in claims}) == len(claims)


def test_a_trailing_newline_is_no_valid_name() -> None:
    assert pool_name("ws1\n") != "ws1\n"


def test_a_pool_with_the_claims_tag_is_the_claims() -> None:
    check_owner("ws1", "ws1", "ws1")


@pytest.mark.parametrize(
    ("owner", "words"),
    [("", "not made by this platform"), ("ws2", "NodeClaim ws2's")],
    ids=["a stranger's", "another claim's"],
)
def test_a_pool_of_the_same_name_that_is_not_the_claims_is_not_touched(
    owner: str, words: str
) -> None:
    with pytest.raises(ProviderFailed, match=words):
        check_owner("ws1", "ws1", owner)
