"""The authority and the serving certificate that the webhook makes itself, and when they change.

    serving certificate   ends ── renewed at 2/3 of its life
    authority             ends ── at 2/3 a second one is made beside it: both are handed to the API
                                  server, and the new one signs once the API server trusts it

Everything is a function of what exists and the time, so replicas that look at the same Secret come
to the same end, whoever looks first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from worker.webhook.pem import Serving, UnusableCertificate, key_pem, read_private_key, to_pem

BACKDATE: Final = timedelta(hours=1)
"""1 h: a certificate counts from before it was made, for API servers whose clocks are behind."""

AUTHORITY_NAME: Final = "kaito-webhook-ca"
SERVING_NAME: Final = "kaito-webhook"


@dataclass(frozen=True)
class Lifetimes:
    """How long things last."""

    authority: timedelta = timedelta(days=365)
    """A year: what is left of it when it is replaced (122 days) is more than a serving certificate
    lives, so no certificate ever outlives its authority."""
    serving: timedelta = timedelta(days=90)
    """90 days, as cert-manager's default: renewed after 60, so that a month is left to notice."""
    trust: timedelta = timedelta(minutes=1)
    """1 min from an authority's making until it signs: API servers of one cluster learn of a new
    caBundle by their watches, within a second; a server that just restarts needs longer."""


@dataclass(frozen=True)
class Keyring:
    """All that the Secret holds: what a replica serves with, and what signs the next one."""

    serving: Serving
    """Its first authority is the newest one."""
    authority_key: bytes
    """Private key of the newest authority, in PEM."""


def read_keyring(
    certificate: bytes, key: bytes, authorities: bytes, authority_key: bytes
) -> Keyring:
    """Read the parts of a Secret.

    Raises:
        UnusableCertificate: a part is missing or damaged, or they do not belong together.
    """
    serving = Serving.read(certificate, key, authorities)
    newest = serving.authorities[0]
    if _authority_key(authority_key).public_key() != newest.public_key():
        raise UnusableCertificate("ca.key does not belong to the first authority of ca.crt")
    return Keyring(serving, authority_key)


def _authority_key(text: bytes) -> ec.EllipticCurvePrivateKey:
    key = read_private_key(text, "ca.key")
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnusableCertificate("ca.key is none that this program made")
    return key


def make_keyring(hosts: Sequence[str], now: datetime, lifetimes: Lifetimes) -> Keyring:
    """Return a new authority with a certificate for `hosts`."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _make_authority(key, now, lifetimes)
    leaf, leaf_key = _issue(_Signer(authority, key), hosts, now, lifetimes)
    return Keyring(_serving(leaf, leaf_key, [authority]), key_pem(key))


def renewed(
    keyring: Keyring,
    hosts: Sequence[str],
    now: datetime,
    lifetimes: Lifetimes,
    trusted: Collection[x509.Certificate],
) -> Keyring:
    """Return what the Secret should hold now; the same object when nothing is due.

    Args:
        keyring: What it holds.
        hosts: DNS names and addresses that API servers call the webhook by.
        now: The time.
        lifetimes: How long things last.
        trusted: Authorities that the registration has handed to the API server.
    """
    authorities = [one for one in keyring.serving.authorities if one.not_valid_after_utc > now]
    newest = keyring.serving.authorities[0]
    if newest not in authorities:
        return make_keyring(hosts, now, lifetimes)
    if is_due(newest, now):
        return _with_second_authority(keyring, hosts, now, lifetimes)
    signs = keyring.serving.is_issued_by([newest])
    if not signs:
        is_known = newest in trusted and now >= _made_at(newest) + lifetimes.trust
        # An expired certificate is refused anyway: there is nothing to lose.
        if not is_known and keyring.serving.ends_at > now:
            return keyring
    elif not is_due(keyring.serving.leaf, now):
        missing = set(hosts) - keyring.serving.hosts
        if not missing:
            return _without_expired(keyring, authorities)
        # Names are added: a release with other names beside this one must not undo it.
        hosts = sorted(keyring.serving.hosts | missing)
    signer = _Signer(newest, _authority_key(keyring.authority_key))
    leaf, leaf_key = _issue(signer, hosts, now, lifetimes)
    return replace(keyring, serving=_serving(leaf, leaf_key, authorities))


def _with_second_authority(
    keyring: Keyring, hosts: Sequence[str], now: datetime, lifetimes: Lifetimes
) -> Keyring:
    """Return the keyring with a new authority before the old one, which signs one last time.

    Its key goes, so what it signs now must last until the new one is trusted.
    """
    new_key = ec.generate_private_key(ec.SECP256R1())
    old = keyring.serving.authorities[0]
    signer = _Signer(old, _authority_key(keyring.authority_key))
    leaf, leaf_key = _issue(signer, hosts, now, lifetimes)
    authorities = [_make_authority(new_key, now, lifetimes), old]
    return Keyring(_serving(leaf, leaf_key, authorities), key_pem(new_key))


def _without_expired(keyring: Keyring, authorities: Sequence[x509.Certificate]) -> Keyring:
    if len(authorities) == len(keyring.serving.authorities):
        return keyring
    return replace(keyring, serving=replace(keyring.serving, authorities=tuple(authorities)))


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether two thirds of a certificate of ours have passed."""
    made_at = _made_at(certificate)
    return now >= made_at + (certificate.not_valid_after_utc - made_at) * 2 / 3


def _made_at(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_before_utc + BACKDATE


# --- making -----------------------------------------------------------------------------------


def _make_authority(
    key: ec.EllipticCurvePrivateKey, now: datetime, lifetimes: Lifetimes
) -> x509.Certificate:
    name = _name(AUTHORITY_NAME)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(name, name, key.public_key(), now, now + lifetimes.authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


@dataclass(frozen=True)
class _Signer:
    authority: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _issue(
    signer: _Signer, hosts: Sequence[str], now: datetime, lifetimes: Lifetimes
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a certificate for `hosts`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = signer.authority
    ends_at = min(now + lifetimes.serving, authority.not_valid_after_utc)
    alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    leaf = (
        _builder(_name(SERVING_NAME), authority.subject, key.public_key(), now, ends_at)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(identifier, critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    return leaf, key


def _serving(
    leaf: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    authorities: Sequence[x509.Certificate],
) -> Serving:
    return Serving(to_pem([leaf]), key_pem(key), leaf, tuple(authorities))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    ends_at: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - BACKDATE).replace(microsecond=0))
        .not_valid_after(ends_at.replace(microsecond=0))
    )


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
