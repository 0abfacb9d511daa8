"""What the registration should hold, given what it holds."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from worker.webhook.certificates import Lifetimes, make_keyring
from worker.webhook.pem import to_pem
from worker.webhook.registration import Address, authorities_of, wanted_configuration

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BY_SERVICE = Address(service="kaito-webhook", namespace="kaito-system")
BY_URL = Address(
    service="kaito-webhook", namespace="kaito-system", url="https://webhook.example:9443"
)


def authority(days: int = 0) -> x509.Certificate:
    """Return an authority that was made so many days from now."""
    made = make_keyring(["a"], NOW + timedelta(days=days), Lifetimes())
    return made.serving.authorities[0]


def wanted(
    found: dict[str, Any] | None, *authorities: x509.Certificate, address: Address = BY_SERVICE
) -> dict[str, Any]:
    return wanted_configuration(found, address, authorities, NOW)


def test_a_new_one_asks_about_writes_of_workspaces_and_about_nothing_else() -> None:
    (entry,) = wanted(None, authority())["webhooks"]
    assert entry["name"] == "validation.workspace.kaito.sh"
    assert entry["failurePolicy"] == "Ignore"
    assert entry["sideEffects"] == "None"
    assert entry["timeoutSeconds"] == 3
    assert entry["rules"] == [
        {
            "apiGroups": ["kaito.sh"],
            "apiVersions": ["v1alpha1", "v1beta1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["workspaces"],
            "scope": "Namespaced",
        }
    ]
    assert entry["clientConfig"]["service"] == {
        "name": "kaito-webhook",
        "namespace": "kaito-system",
        "path": "/validate/workspaces",
        "port": 443,
    }


def test_a_url_takes_the_place_of_the_service_and_the_other_way_round() -> None:
    one = authority()
    by_service = wanted(None, one)
    by_url = wanted(by_service, one, address=BY_URL)
    config = by_url["webhooks"][0]["clientConfig"]
    assert config["url"] == "https://webhook.example:9443/validate/workspaces"
    assert "service" not in config
    assert wanted(by_url, one) == by_service


def test_the_certificate_is_good_for_the_service_and_the_url() -> None:
    assert BY_SERVICE.hosts == [
        "kaito-webhook.kaito-system.svc",
        "kaito-webhook.kaito-system.svc.cluster.local",
        "kaito-webhook.kaito-system",
    ]
    assert BY_URL.hosts == ["webhook.example", *BY_SERVICE.hosts]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://127.0.0.1:9443", "127.0.0.1"),
        ("https://[0:0:0:0:0:0:0:1]:9443", "::1"),
        ("https://Webhook.Example", "webhook.example"),
    ],
)
def test_a_certificate_that_was_made_for_a_url_is_good_for_it(url: str, host: str) -> None:
    address = Address(service="a", namespace="b", url=url)
    assert address.host == host
    assert make_keyring(address.hosts, NOW, Lifetimes()).serving.is_good_for(address.host)


def test_what_is_right_stays_as_it_is_with_everything_that_others_added() -> None:
    one = authority()
    found = wanted(None, one)
    found["metadata"] |= {"resourceVersion": "7", "labels": {"team": "a"}}
    found["webhooks"][0] |= {"namespaceSelector": {"matchLabels": {"a": "b"}}}
    found["webhooks"].insert(0, {"name": "another.example.com"})
    assert wanted(copy.deepcopy(found), one) == found


@pytest.mark.parametrize(
    "change",
    [
        {"failurePolicy": "Fail"},
        {"timeoutSeconds": 30},
        {"matchConditions": []},
        {"rules": []},
        {"clientConfig": {}},
        {"clientConfig": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_not_right_is_repaired_in_place(change: dict[str, Any]) -> None:
    one = authority()
    right = wanted(None, one)
    wrong = copy.deepcopy(right)
    wrong["webhooks"][0] |= change
    assert wanted(wrong, one) == right


def test_a_repair_keeps_the_other_webhooks_and_their_order() -> None:
    one = authority()
    found = wanted(None, one)
    found["webhooks"] = [{"name": "a.example.com"}, found["webhooks"][0], {"name": "b.example.com"}]
    wrong = copy.deepcopy(found)
    wrong["webhooks"][1]["failurePolicy"] = "Fail"
    assert wanted(wrong, one) == found


def test_a_new_authority_is_put_before_those_that_still_hold() -> None:
    old, new = authority(-100), authority()
    both = wanted(wanted(None, old), new)
    assert authorities_of(both) == [new, old]
    # Neither a replica that still has the old one nor one that has the new one writes again.
    assert wanted(both, old) == both
    assert wanted(both, new) == both


def test_an_expired_authority_is_dropped() -> None:
    gone, new = authority(-366), authority()
    assert authorities_of(wanted(wanted(None, gone), new)) == [new]
    assert authorities_of(wanted(wanted(None, new, gone), new)) == [new]


def test_only_so_many_authorities_are_kept_and_the_oldest_go_first() -> None:
    found = None
    made = [authority(-days) for days in range(14, 1, -1)]
    for one in made:
        found = wanted(found, one)
    assert authorities_of(found) == made[:-11:-1]


def test_all_authorities_that_are_in_use_are_kept_however_many() -> None:
    many = [authority() for _ in range(12)]
    found = wanted(wanted(None, authority(-1)), *many)
    assert authorities_of(found) == many


@pytest.mark.parametrize("bundle", ["", "!", "bm9uZQ==", base64.b64encode(b"\xff").decode()])
def test_a_damaged_bundle_is_replaced(bundle: str) -> None:
    one = authority()
    found = wanted(None, one)
    right = copy.deepcopy(found)
    found["webhooks"][0]["clientConfig"]["caBundle"] = bundle
    assert wanted(found, one) == right


def test_a_bundle_in_another_order_or_spacing_is_no_reason_to_write() -> None:
    one, two = authority(), authority()
    found = wanted(None, one, two)
    bundle = b"# of the platform\n" + to_pem([two, one]).replace(b"\n", b"\n\n", 1)
    found["webhooks"][0]["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
    assert wanted(copy.deepcopy(found), one, two) == found
