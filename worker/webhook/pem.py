"""Certificates and keys as text, and whether they belong together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_ENCODING: Final = serialization.Encoding.PEM


class UnusableCertificate(Exception):
    """Certificate, key and authorities can't be served with; the message says why."""


@dataclass(frozen=True)
class Serving:
    """What a replica serves with, and what the API server must trust for that."""

    chain_pem: bytes
    """The certificate, with intermediate ones after it."""
    key_pem: bytes
    leaf: x509.Certificate
    """The certificate itself, the first of the chain."""
    authorities: tuple[x509.Certificate, ...]

    @classmethod
    def read(cls, chain: bytes, key: bytes, authorities: bytes) -> Serving:
        """Read the three parts.

        Raises:
            UnusableCertificate: one is missing or damaged, or they do not belong together.
        """
        certificates = read_certificates(chain, "tls.crt")
        serving = cls(chain, key, certificates[0], tuple(read_certificates(authorities, "ca.crt")))
        if read_private_key(key, "tls.key").public_key() != _public_key(serving.leaf):
            raise UnusableCertificate("tls.key does not belong to tls.crt")
        if not serving.is_issued_by(serving.authorities):
            raise UnusableCertificate("no authority of ca.crt has signed tls.crt")
        return serving

    @property
    def ends_at(self) -> datetime:
        """Return when the certificate expires."""
        return self.leaf.not_valid_after_utc

    @property
    def hosts(self) -> set[str]:
        """Return the DNS names and addresses that the certificate is good for."""
        try:
            extension = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            return set()
        names = extension.value.get_values_for_type(x509.DNSName)
        addresses = extension.value.get_values_for_type(x509.IPAddress)
        return {*names, *(str(address) for address in addresses)}

    def is_good_for(self, host: str) -> bool:
        """Return whether a client accepts the certificate when it calls this name or address."""
        return bool(self.hosts & {host, f"*.{host.partition('.')[2]}"})

    def is_issued_by(self, authorities: Collection[x509.Certificate]) -> bool:
        """Return whether someone who trusts these authorities trusts the certificate's chain."""
        chain = read_certificates(self.chain_pem, "tls.crt")
        return any(
            one == authority or _has_signed(authority, one)
            for one in chain
            for authority in authorities
        )


def read_certificates(text: bytes, what: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, at least one.

    Raises:
        UnusableCertificate: there are none, or one is damaged; `what` names the text.
    """
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise UnusableCertificate(f"{what} holds no certificate that can be read") from error


def read_private_key(text: bytes, what: str) -> PrivateKey:
    """Return the private key of a PEM text.

    Raises:
        UnusableCertificate: there is none, it is damaged or locked, or no server can use it; `what`
            names the text.
    """
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableCertificate(f"{what} holds no private key that can be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UnusableCertificate(f"{what} is neither an ECDSA nor an RSA key")
    return key


def to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return certificates as one text."""
    return b"".join(one.public_bytes(_ENCODING) for one in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as text."""
    return key.private_bytes(
        _ENCODING, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        # Of a kind that no key of ours can belong to.
        return None


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
