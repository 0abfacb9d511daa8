"""One certificate authority, one key pair per component, and their kubeconfigs."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from onebox import places

LIFETIME_DAYS: Final = 365
RENEW_BEFORE_DAYS: Final = 30
BACKDATED_MINUTES: Final = 5
"""Clocks of two programs on one machine agree, but a suspended laptop's clock may step back."""


@dataclass(frozen=True)
class Subject:
    """Who a certificate is for, in Kubernetes' sense."""

    file_name: str
    common_name: str
    organization: str = ""
    is_client: bool = True
    is_server: bool = False
    hosts: tuple[str, ...] = ()
    """DNS names and IP addresses of a server."""


CLUSTER_SUBJECTS: Final = (
    Subject("etcd", "etcd", is_server=True, hosts=(places.HOST_ADDRESS, "127.0.0.1")),
    Subject(
        "apiserver",
        "kube-apiserver",
        is_client=False,
        is_server=True,
        hosts=(
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "127.0.0.1",
            places.HOST_ADDRESS,
            places.KUBERNETES_SERVICE_ADDRESS,
        ),
    ),
    Subject("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    Subject("admin", "onebox-admin", "system:masters"),
    Subject("controller-manager", "system:kube-controller-manager"),
    Subject("scheduler", "system:kube-scheduler"),
    Subject("proxy", "system:kube-proxy"),
)


def node_subjects(node: str, address: str) -> tuple[Subject, Subject]:
    """Return a node's client certificate and its serving certificate."""
    return (
        Subject(f"node-{node}", f"system:node:{node}", "system:nodes"),
        Subject(
            f"node-{node}-serving",
            f"system:node:{node}",
            "system:nodes",
            is_client=False,
            is_server=True,
            hosts=(node, address),
        ),
    )


class Authority:
    """The cluster's certificate authority, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; `ensure_authority` fills it."""
        self.folder = folder

    def certificate(self, name: str) -> Path:
        """Return where a certificate lies."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return where a private key lies."""
        return self.folder / f"{name}.key"

    def ensure_authority(self, now: datetime) -> None:
        """Make the authority and the key of service-account tokens, if missing or nearly over.

        A new authority makes everything that the old one signed worthless, so it goes too.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_fresh(self.certificate("ca"), now) or not self.key("ca").exists():
            for path in self.folder.iterdir():
                path.unlink()
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self_signed("onebox-ca", key, now)
            _write_private(self.key("ca"), _key_bytes(key))
            _write_private(self.certificate("ca"), _certificate_bytes(certificate))
        if not self.key("service-account").exists():
            _write_private(
                self.key("service-account"), _key_bytes(ec.generate_private_key(ec.SECP256R1()))
            )

    def ensure(self, subjects: Iterable[Subject], now: datetime) -> None:
        """Sign what is missing or nearly over."""
        for subject in subjects:
            path = self.certificate(subject.file_name)
            if is_fresh(path, now) and self.key(subject.file_name).exists():
                continue
            key = ec.generate_private_key(ec.SECP256R1())
            _write_private(self.key(subject.file_name), _key_bytes(key))
            _write_private(path, _certificate_bytes(self.sign(subject, key.public_key(), now)))

    def sign(
        self, subject: Subject, public_key: ec.EllipticCurvePublicKey, now: datetime
    ) -> x509.Certificate:
        """Return a certificate for the subject, signed by this authority."""
        issuer = x509.load_pem_x509_certificate(self.certificate("ca").read_bytes())
        issuer_key = serialization.load_pem_private_key(self.key("ca").read_bytes(), None)
        if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.key('ca')} is no elliptic-curve key")
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] if subject.is_client else []
        usages += [ExtendedKeyUsageOID.SERVER_AUTH] if subject.is_server else []
        builder = (
            _builder(now)
            .subject_name(_name(subject.common_name, subject.organization))
            .issuer_name(issuer.subject)
            .public_key(public_key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if subject.hosts:
            names = x509.SubjectAlternativeName(general_names(subject.hosts))
            builder = builder.add_extension(names, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    def write_kubeconfig(self, path: Path, name: str) -> None:
        """Write a kubeconfig that carries its certificates in itself, so that it can be copied."""
        config = kubeconfig(
            authority=self.certificate("ca").read_bytes(),
            certificate=self.certificate(name).read_bytes(),
            key=self.key(name).read_bytes(),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, json.dumps(config, indent=1).encode())


def kubeconfig(*, authority: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """Return a kubeconfig; JSON is YAML, so kubectl reads it as it is."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "onebox",
                "cluster": {
                    "server": places.API_SERVER,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                },
            }
        ],
        "users": [
            {
                "name": "onebox",
                "user": {
                    "client-certificate-data": base64.b64encode(certificate).decode(),
                    "client-key-data": base64.b64encode(key).decode(),
                },
            }
        ],
        "contexts": [{"name": "onebox", "context": {"cluster": "onebox", "user": "onebox"}}],
        "current-context": "onebox",
    }


def is_fresh(certificate: Path, now: datetime) -> bool:
    """Say whether a certificate exists and will hold for a while."""
    if not certificate.exists():
        return False
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.not_valid_after_utc - now > timedelta(days=RENEW_BEFORE_DAYS)


def self_signed(
    common_name: str, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """Return the certificate of a new authority."""
    name = _name(common_name, "")
    return (
        _builder(now)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def general_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Tell addresses from names."""
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def utc_now() -> datetime:
    """Return the present, for callers at the edge."""
    return datetime.now(tz=UTC)


def _builder(now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=BACKDATED_MINUTES))
        .not_valid_after(now + timedelta(days=LIFETIME_DAYS))
    )


def _name(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _certificate_bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_private(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.rename(path)
