"""When the webhook's certificate and its authority change, as a function of the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from worker.webhook.certificates import (
    Keyring,
    Lifetimes,
    make_keyring,
    read_keyring,
    renewed,
)
from worker.webhook.pem import Serving, UnusableCertificate, key_pem, to_pem

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOSTS = ["127.0.0.1", "kaito-webhook.kaito-system.svc"]
LIFETIMES = Lifetimes()


def keyring() -> Keyring:
    return make_keyring(HOSTS, NOW, LIFETIMES)


def after(
    ring: Keyring, days: float, *, is_known: bool = True, hosts: list[str] | None = None
) -> Keyring:
    """Return the keyring after so many days, with or without the API server knowing it."""
    trusted = ring.serving.authorities if is_known else ()
    return renewed(ring, hosts or HOSTS, NOW + timedelta(days=days), LIFETIMES, trusted)


def is_accepted(serving: Serving, authorities: list[x509.Certificate], at: datetime) -> bool:
    """Ask a verifier as strict as Go's."""
    verifier = (
        PolicyBuilder()
        .store(Store(authorities))
        .time(at.replace(tzinfo=None))
        .build_server_verifier(x509.DNSName(HOSTS[1]))
    )
    try:
        verifier.verify(serving.leaf, [])
    except x509.verification.VerificationError:
        return False
    return True


def test_a_new_certificate_is_good_for_every_name_and_from_an_hour_before() -> None:
    ring = keyring()
    assert ring.serving.hosts == set(HOSTS)
    authorities = list(ring.serving.authorities)
    assert is_accepted(ring.serving, authorities, NOW)
    assert is_accepted(ring.serving, authorities, NOW - timedelta(minutes=59))
    assert not is_accepted(ring.serving, authorities, NOW - timedelta(minutes=61))
    assert not is_accepted(ring.serving, authorities, NOW + timedelta(days=91))


def test_nothing_changes_before_two_thirds_of_its_life() -> None:
    ring = keyring()
    assert after(ring, 59.9) is ring


def test_after_two_thirds_it_is_renewed_by_the_same_authority() -> None:
    ring = keyring()
    new = after(ring, 60.1)
    assert new.serving.leaf != ring.serving.leaf
    assert new.serving.authorities == ring.serving.authorities
    assert new.serving.ends_at == NOW + timedelta(days=150.1)
    assert new.serving.key_pem != ring.serving.key_pem


def test_a_second_authority_is_made_beside_the_first_which_signs_once_more() -> None:
    ring = keyring()
    new = after(ring, 244)
    assert new.serving.authorities[1:] == ring.serving.authorities
    assert new.serving.is_issued_by(ring.serving.authorities)
    assert not new.serving.is_issued_by(new.serving.authorities[:1])
    # Long enough for a registration that somebody keeps by hand.
    assert new.serving.ends_at == NOW + timedelta(days=244 + 90)


def test_the_second_authority_signs_once_the_api_server_knows_it() -> None:
    second = after(keyring(), 244)
    assert after(second, 245, is_known=False) is second
    new = after(second, 245)
    assert new.serving.is_issued_by(second.serving.authorities[:1])
    assert new.serving.authorities == second.serving.authorities
    assert after(new, 246) is new


def test_an_authority_that_is_known_signs_only_after_a_minute() -> None:
    second = after(keyring(), 244)
    half = 0.5 / (24 * 60)
    assert after(second, 244 + half) is second
    assert after(second, 244 + 3 * half) is not second


def test_an_authority_that_nobody_learns_of_signs_when_nothing_can_be_lost_any_more() -> None:
    second = after(keyring(), 244)
    assert after(second, 244 + 89.9, is_known=False) is second
    assert after(second, 244 + 90.1, is_known=False).serving.is_issued_by(
        second.serving.authorities[:1]
    )


def test_an_expired_authority_is_dropped() -> None:
    ring = after(after(keyring(), 244), 245)
    ring = after(ring, 245 + 61)
    kept = after(ring, 364)
    assert len(kept.serving.authorities) == 2
    dropped = after(kept, 365.1)
    assert dropped.serving.authorities == kept.serving.authorities[:1]
    assert dropped.serving.leaf == kept.serving.leaf


def test_everything_is_made_anew_when_the_newest_authority_has_expired() -> None:
    ring = keyring()
    new = after(ring, 400)
    assert not set(new.serving.authorities) & set(ring.serving.authorities)
    assert new.serving.ends_at == NOW + timedelta(days=490)


def test_years_of_checks_never_leaves_a_moment_without_an_accepted_certificate() -> None:
    ring, day = keyring(), 0.0
    known = list(ring.serving.authorities)
    while day < 3 * 365:
        day += 0.7
        now = NOW + timedelta(days=day)
        ring = renewed(ring, HOSTS, now, LIFETIMES, known)
        # The API server still has the list of the check before.
        assert is_accepted(ring.serving, known, now), day
        known = list(ring.serving.authorities)


def test_a_new_name_is_added_and_the_old_ones_stay() -> None:
    ring = keyring()
    new = after(ring, 1, hosts=["other.kaito-system.svc"])
    assert new.serving.hosts == {*HOSTS, "other.kaito-system.svc"}
    # So the release with the old names is content too.
    assert after(new, 1) is new


def test_a_keyring_is_read_as_it_was_written() -> None:
    ring = keyring()
    parts = (ring.serving.chain_pem, ring.serving.key_pem, to_pem(ring.serving.authorities))
    assert read_keyring(*parts, ring.authority_key) == ring


def _parts() -> dict[str, bytes]:
    ring = keyring()
    return {
        "certificate": ring.serving.chain_pem,
        "key": ring.serving.key_pem,
        "authorities": to_pem(ring.serving.authorities),
        "authority_key": ring.authority_key,
    }


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("certificate", "tls.crt holds no certificate"),
        ("key", "tls.key holds no private key"),
        ("authorities", "ca.crt holds no certificate"),
        ("authority_key", "ca.key holds no private key"),
    ],
)
@pytest.mark.parametrize("text", [b"", b"none", b"-----BEGIN CERTIFICATE-----\n!\n"])
def test_a_damaged_part_is_named(part: str, words: str, text: bytes) -> None:
    with pytest.raises(UnusableCertificate, match=words):
        read_keyring(**{**_parts(), part: text})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("certificate", "tls.key does not belong"),
        ("key", "tls.key does not belong"),
        ("authorities", "no authority of ca.crt has signed"),
        ("authority_key", "ca.key does not belong"),
    ],
)
def test_parts_of_two_certificates_are_not_mixed(part: str, words: str) -> None:
    with pytest.raises(UnusableCertificate, match=words):
        read_keyring(**{**_parts(), part: _parts()[part]})


def test_a_key_that_no_server_can_use_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    odd = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(UnusableCertificate, match="neither an ECDSA nor an RSA key"):
        read_keyring(**{**_parts(), "key": odd})
    other = key_pem(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(UnusableCertificate, match="does not belong"):
        read_keyring(**{**_parts(), "key": other})
