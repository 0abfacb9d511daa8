"""A certificate that somebody else renews, such as cert-manager through a mounted Secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from activities.clients.kubernetes import SECRETS, KubernetesClient
from tests.harness.waiting import eventually
from tests.integration.webhook.conftest import (
    QUICK,
    Replica,
    StartReplica,
    bad_workspace,
    dry_run,
    until_asked,
)
from tests.integration.webhook.test_certificate import drop_idle_connections
from worker.webhook.certificates import Lifetimes, make_keyring, renewed
from worker.webhook.pem import Serving, to_pem
from worker.webhook.registration import CONFIGURATION_NAME, CONFIGURATIONS
from worker.webhook.sources import SECRET_NAME, CertificateFolder

pytestmark = pytest.mark.integration


BY_HAND = replace(QUICK, check_seconds=600.0)
"""One check at the start; the test makes the others."""


class Mounted:
    """A folder as the kubelet mounts a Secret: all files change at once, by a link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = 0
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (folder / name).symlink_to(Path("..data") / name)

    def put(self, files: Mapping[str, bytes]) -> None:
        self._versions += 1
        target = self.folder / f"..version-{self._versions}"
        target.mkdir()
        for name, content in files.items():
            (target / name).write_bytes(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(target)
        link.rename(self.folder / "..data")

    def put_serving(self, serving: Serving) -> None:
        self.put(
            {
                "tls.crt": serving.chain_pem,
                "tls.key": serving.key_pem,
                "ca.crt": to_pem(serving.authorities),
            }
        )


def new_serving(lifetimes: Lifetimes | None = None, age: timedelta = timedelta(0)) -> Serving:
    return make_keyring(["127.0.0.1"], datetime.now(tz=UTC) - age, lifetimes or Lifetimes()).serving


def new_rsa_serving(bits: int = 2048) -> Serving:
    """Return a certificate that is its own authority, with a key of another kind than ours."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    template = new_serving().leaf
    builder = x509.CertificateBuilder(
        issuer_name=template.subject,
        subject_name=template.subject,
        public_key=key.public_key(),
        serial_number=template.serial_number,
        not_valid_before=template.not_valid_before_utc,
        not_valid_after=template.not_valid_after_utc,
    )
    for extension in template.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    certificate = builder.sign(key, hashes.SHA256())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return Serving.read(to_pem([certificate]), text, to_pem([certificate]))


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


async def test_it_is_served_and_no_secret_is_made(
    replicas: StartReplica, kube: KubernetesClient, namespace: str, mounted: Mounted
) -> None:
    mounted.put_serving(new_serving())
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_in_force()
    await until_asked(kube, namespace)
    assert await kube.find(SECRETS, SECRET_NAME, namespace) is None


@pytest.mark.parametrize("new", [new_serving, new_rsa_serving], ids=["ecdsa", "rsa"])
async def test_another_authoritys_certificate_is_taken_into_use_without_a_failed_request(
    replicas: StartReplica, kube: KubernetesClient, namespace: str, mounted: Mounted, new: object
) -> None:
    mounted.put_serving(new_serving())
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_in_force()
    await until_asked(kube, namespace)
    later = new()  # type: ignore[operator]
    mounted.put_serving(later)

    async def leaf() -> x509.Certificate:
        assert await _is_asked(replica, kube, namespace)
        assert replica.server.serving is not None
        return replica.server.serving.leaf

    await eventually(leaf, accept=lambda found: found == later.leaf, what="the new certificate")
    assert await _is_asked(replica, kube, namespace)
    await replica.until_in_force()


async def test_another_authoritys_certificate_waits_for_the_check_after_the_one_that_tells_of_it(
    replicas: StartReplica, mounted: Mounted
) -> None:
    old, new = new_serving(), new_serving()
    mounted.put_serving(old)
    replica = replicas(source=CertificateFolder(mounted.folder), timing=BY_HAND)
    await replica.until_in_force()
    mounted.put_serving(new)
    assert await replica.webhook._check() == []
    assert replica.server.serving == old
    assert await replica.webhook._check() == []
    assert replica.server.serving == new


async def test_the_same_authoritys_certificate_is_taken_into_use_at_once_registered_or_not(
    replicas: StartReplica, kube: KubernetesClient, mounted: Mounted
) -> None:
    made_at = datetime.now(tz=UTC) - timedelta(days=61)
    ring = make_keyring(["127.0.0.1"], made_at, Lifetimes())
    mounted.put_serving(ring.serving)
    replica = replicas(source=CertificateFolder(mounted.folder), timing=BY_HAND)
    await replica.until_in_force()
    later = renewed(ring, ["127.0.0.1"], datetime.now(tz=UTC), Lifetimes(), []).serving
    mounted.put_serving(later)
    await kube.delete(CONFIGURATIONS, CONFIGURATION_NAME)
    await replica.webhook._check()
    assert replica.server.serving == later != ring.serving


async def _is_asked(replica: Replica, kube: KubernetesClient, namespace: str) -> bool:
    await drop_idle_connections(replica)
    return await dry_run(kube, bad_workspace(namespace), namespace) is not None


async def test_a_pair_that_does_not_match_is_named_and_the_old_one_stays_in_use(
    replicas: StartReplica, kube: KubernetesClient, namespace: str, mounted: Mounted
) -> None:
    one, other = new_serving(), new_serving()
    mounted.put_serving(one)
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_in_force()
    await until_asked(kube, namespace)
    authorities = to_pem(other.authorities)
    mounted.put({"tls.crt": other.chain_pem, "tls.key": one.key_pem, "ca.crt": authorities})
    await replica.until_it_complains("tls.key does not belong to tls.crt; see who renews it")
    assert await _is_asked(replica, kube, namespace)
    mounted.put_serving(other)
    await replica.until_in_force()


async def test_a_missing_file_is_named_until_it_comes(
    replicas: StartReplica, kube: KubernetesClient, namespace: str, mounted: Mounted
) -> None:
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_it_complains("tls.crt can't be read (No such file or directory); mount")
    mounted.put_serving(new_serving())
    await replica.until_in_force()


async def test_an_expired_certificate_is_named(replicas: StartReplica, mounted: Mounted) -> None:
    short = Lifetimes(serving=timedelta(days=1))
    mounted.put_serving(new_serving(short, age=timedelta(days=2)))
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_it_complains("the webhook's certificate ended at")


async def test_a_certificate_for_another_name_is_named(
    replicas: StartReplica, mounted: Mounted
) -> None:
    other = make_keyring(["webhook.example"], datetime.now(tz=UTC), Lifetimes()).serving
    mounted.put_serving(other)
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_it_complains("is for webhook.example; it must be for 127.0.0.1")


async def test_a_certificate_that_tls_refuses_is_named_and_nothing_ends(
    replicas: StartReplica, mounted: Mounted
) -> None:
    mounted.put_serving(new_rsa_serving(bits=1024))
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_it_complains("TLS refuses the certificate (EE_KEY_TOO_SMALL)")
    mounted.put_serving(new_serving())
    await replica.until_in_force()


async def test_a_registration_comes_back_even_while_the_folder_is_broken(
    replicas: StartReplica, kube: KubernetesClient, namespace: str, mounted: Mounted
) -> None:
    mounted.put_serving(new_serving())
    replica = replicas(source=CertificateFolder(mounted.folder))
    await replica.until_in_force()
    mounted.put({})
    await replica.until_it_complains("tls.crt can't be read")
    await kube.delete(CONFIGURATIONS, CONFIGURATION_NAME)
    await until_asked(kube, namespace)
