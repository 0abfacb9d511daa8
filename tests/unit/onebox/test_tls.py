"""The certificates as TLS itself judges them, and what becomes of them over the years."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_IMODE

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from onebox import places
from onebox.kube import KubeClient
from onebox.pki import CLUSTER_SUBJECTS, LIFETIME_DAYS, Authority, node_subjects

NOW = datetime.now(UTC)  # ssl checks dates against the machine's clock


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "pki")
    made.ensure_authority(NOW)
    made.ensure([*CLUSTER_SUBJECTS, *node_subjects("gpu-1", "10.89.0.12")], NOW)
    return made


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def server_context(authority: Authority, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate(name), authority.key(name))
    context.load_verify_locations(authority.certificate("ca"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(authority: Authority, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate("ca")))
    context.load_cert_chain(authority.certificate(name), authority.key(name))
    return context


def peer_name(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> str:
    """Shake hands in memory, and return whom the server sees."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=hostname),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    seen = ends[1].getpeercert(binary_form=True)
    assert seen is not None
    subject = x509.load_der_x509_certificate(seen).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@pytest.mark.parametrize(
    ("server", "client", "hostname", "seen"),
    [
        ("apiserver", "admin", places.HOST_ADDRESS, "onebox-admin"),
        ("apiserver", "node-gpu-1", places.HOST_ADDRESS, "system:node:gpu-1"),
        ("apiserver", "scheduler", places.KUBERNETES_SERVICE_ADDRESS, "system:kube-scheduler"),
        ("etcd", "etcd", places.HOST_ADDRESS, "etcd"),
        ("node-gpu-1-serving", "apiserver-kubelet", "10.89.0.12", "kube-apiserver-kubelet-client"),
    ],
)
def test_each_pair_that_talks_shakes_hands(
    authority: Authority, server: str, client: str, hostname: str, seen: str
) -> None:
    found = peer_name(
        server_context(authority, server), client_context(authority, client), hostname
    )
    assert found == seen


def test_a_server_under_a_foreign_address_is_not_trusted(authority: Authority) -> None:
    server, client = server_context(authority, "apiserver"), client_context(authority, "admin")
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_name(server, client, "10.89.0.99")


def test_a_node_can_not_play_the_api_server(authority: Authority) -> None:
    server, client = server_context(authority, "node-gpu-1"), client_context(authority, "admin")
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_name(server, client, places.HOST_ADDRESS)


def test_only_the_authority_may_sign(authority: Authority) -> None:
    for path in authority.folder.glob("*.crt"):
        basic = read(path).extensions.get_extension_for_class(x509.BasicConstraints).value
        assert basic.ca == (path == authority.certificate("ca")), path.name


def test_what_is_nearly_over_is_signed_anew_by_a_new_authority(authority: Authority) -> None:
    old = authority.certificate("ca").read_bytes()
    later = NOW + timedelta(days=LIFETIME_DAYS - 10)
    authority.ensure_authority(later)
    authority.ensure(CLUSTER_SUBJECTS, later)
    assert authority.certificate("ca").read_bytes() != old
    admin = read(authority.certificate("admin"))
    assert admin.not_valid_after_utc > later + timedelta(days=300)
    admin.verify_directly_issued_by(read(authority.certificate("ca")))


def test_a_certificate_whose_key_was_lost_is_replaced(authority: Authority) -> None:
    before = authority.certificate("admin").read_bytes()
    authority.key("admin").unlink()
    authority.ensure(CLUSTER_SUBJECTS, NOW)
    assert authority.certificate("admin").read_bytes() != before
    client_context(authority, "admin")  # fails when key and certificate differ


def test_only_the_owner_reads_a_kubeconfig_and_its_key_fits(
    authority: Authority, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "admin.kubeconfig"
    authority.write_kubeconfig(path, "admin")
    assert S_IMODE(path.stat().st_mode) == 0o600
    assert S_IMODE(authority.folder.stat().st_mode) == 0o700
    KubeClient(path)  # loads the key pair
