"""Certificates are signed by one authority, name their hosts, and are renewed in time."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from onebox import places
from onebox.pki import CLUSTER_SUBJECTS, LIFETIME_DAYS, Authority, is_fresh, node_subjects

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "pki")
    made.ensure_authority(NOW)
    made.ensure(CLUSTER_SUBJECTS, NOW)
    return made


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def hosts(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def test_every_certificate_is_signed_by_the_authority(authority: Authority) -> None:
    issuer = read(authority.certificate("ca"))
    for subject in CLUSTER_SUBJECTS:
        read(authority.certificate(subject.file_name)).verify_directly_issued_by(issuer)


def test_the_api_server_is_known_by_its_addresses_and_its_service_name(
    authority: Authority,
) -> None:
    found = hosts(read(authority.certificate("apiserver")))
    assert {
        places.HOST_ADDRESS,
        places.KUBERNETES_SERVICE_ADDRESS,
        "kubernetes.default.svc.cluster.local",
    } <= found


def test_a_node_authenticates_as_a_node_and_serves_under_its_address(authority: Authority) -> None:
    client, serving = node_subjects("n1", "10.89.0.12")
    authority.ensure((client, serving), NOW)
    subject = read(authority.certificate(client.file_name)).subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n1"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    served = read(authority.certificate(serving.file_name))
    assert hosts(served) == {"n1", "10.89.0.12"}
    usages = served.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_what_is_fresh_is_left_alone(authority: Authority) -> None:
    before = {path: path.read_bytes() for path in authority.folder.iterdir()}
    authority.ensure_authority(NOW)
    authority.ensure(CLUSTER_SUBJECTS, NOW)
    assert {path: path.read_bytes() for path in authority.folder.iterdir()} == before


def test_a_certificate_that_is_nearly_over_is_not_fresh(authority: Authority) -> None:
    nearly_over = NOW + timedelta(days=LIFETIME_DAYS - 1)
    assert not is_fresh(authority.certificate("admin"), nearly_over)


def test_a_new_authority_takes_the_old_ones_certificates_with_it(authority: Authority) -> None:
    authority.ensure_authority(NOW + timedelta(days=LIFETIME_DAYS))
    assert sorted(path.name for path in authority.folder.iterdir()) == [
        "ca.crt",
        "ca.key",
        "service-account.key",
    ]


def test_only_the_owner_can_read_keys(authority: Authority) -> None:
    modes = {path.stat().st_mode & 0o777 for path in authority.folder.glob("*.key")}
    assert modes == {0o600}


def test_a_kubeconfig_carries_its_certificates_in_itself(
    authority: Authority, tmp_path: Path
) -> None:
    authority.write_kubeconfig(tmp_path / "kubeconfig", "admin")
    config = json.loads((tmp_path / "kubeconfig").read_text())
    carried = base64.b64decode(config["users"][0]["user"]["client-certificate-data"])
    assert carried == authority.certificate("admin").read_bytes()
    assert config["clusters"][0]["cluster"]["server"] == places.API_SERVER
