"""Where the certificate comes from: a Secret that the replicas share, or a mounted folder."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509

from activities.clients.kubernetes import HTTP_CONFLICT, SECRETS, ApiError, KubernetesClient
from api import names
from planner.fields import labels_of, mapping_at, text_at
from worker.webhook.certificates import (
    Keyring,
    Lifetimes,
    make_keyring,
    read_keyring,
    renewed,
)
from worker.webhook.pem import Serving, UnusableCertificate, to_pem

_logger = logging.getLogger(__name__)

SECRET_NAME: Final = "kaito-webhook-certificate"  # noqa: S105 - a name, no secret

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITIES: Final = "ca.crt"
AUTHORITY_KEY: Final = "ca.key"
"""Names of cert-manager's Secrets, and one of our own."""

MAX_ATTEMPTS: Final = 5
"""Two replicas collide once; five collisions in a row mean that something else is wrong."""

MAX_FILE_BYTES: Final = 2**20
"""1 MiB, the most that a Secret holds."""


class CertificateSource(Protocol):
    """Gives the certificate to serve with."""

    async def current(self, trusted: Collection[x509.Certificate], now: datetime) -> Serving:
        """Return it, after renewing what is due.

        Args:
            trusted: Authorities that the registration has handed to the API server.
            now: The time.

        Raises:
            UnusableCertificate: there is none, with the reason and the remedy.
            ApiError, ClusterUnavailable: the API server refused or did not answer.
        """
        ...


class CertificateSecret:
    """The platform's own certificate, in one Secret for all replicas.

    Every write carries the resourceVersion that was read: of two replicas that renew at the same
    time one wins, and the other one takes over what the winner wrote.
    """

    def __init__(
        self,
        cluster: KubernetesClient,
        namespace: str,
        hosts: Sequence[str],
        lifetimes: Lifetimes,
    ) -> None:
        """Describe it; nothing is read before the first question."""
        self._cluster = cluster
        self._namespace = namespace
        self._hosts = hosts
        self._lifetimes = lifetimes
        self._last: Keyring | None = None
        """What was read or written last. A deleted Secret is written again from it, so that no
        request fails for that."""

    async def current(self, trusted: Collection[x509.Certificate], now: datetime) -> Serving:
        """Return what the Secret holds, after writing what is due."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            found = await self._cluster.find(SECRETS, SECRET_NAME, self._namespace)
            held = self._read(found)
            keyring = self._wanted(held, trusted, now)
            try:
                if keyring is not held:
                    await self._write(found, keyring)
            except ApiError as error:
                if error.status != HTTP_CONFLICT or attempt == MAX_ATTEMPTS:
                    raise
                # Another replica was faster: take what it wrote.
                continue
            self._last = keyring
            return keyring.serving
        raise AssertionError("the last attempt returns or raises")

    def _wanted(
        self, held: Keyring | None, trusted: Collection[x509.Certificate], now: datetime
    ) -> Keyring:
        keyring = held or self._last
        if keyring is None:
            return make_keyring(self._hosts, now, self._lifetimes)
        return renewed(keyring, self._hosts, now, self._lifetimes, trusted)

    def _read(self, secret: Mapping[str, Any] | None) -> Keyring | None:
        """Return the keyring of a Secret, None where there is none yet or a damaged one."""
        parts = {key: _decoded(secret, key) for key in (CERTIFICATE, KEY, AUTHORITIES)}
        authority_key = _decoded(secret, AUTHORITY_KEY)
        if not any(parts.values()) and not authority_key:
            # None, or one that a chart made empty.
            return None
        where = f"Secret {self._namespace}/{SECRET_NAME}"
        if labels_of(secret).get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
            raise UnusableCertificate(
                f"{where} is somebody else's; delete it, or mount it and set "
                "KAITO_WEBHOOK_CERTIFICATE_DIR"
            )
        try:
            return read_keyring(parts[CERTIFICATE], parts[KEY], parts[AUTHORITIES], authority_key)
        except UnusableCertificate as error:
            _logger.warning("%s is damaged and is written anew: %s", where, error)
            return None

    async def _write(self, found: Mapping[str, Any] | None, keyring: Keyring) -> None:
        metadata: dict[str, Any] = {"name": SECRET_NAME, "namespace": self._namespace}
        if found is not None:
            # Its resourceVersion guards the write.
            metadata = dict(mapping_at(found, "metadata"))
        metadata["labels"] = {**labels_of(found), names.LABEL_MANAGED_BY: names.MANAGED_BY}
        body = {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": metadata,
            # The type of a Secret can't be changed: one that a chart made empty keeps its own.
            "type": text_at(found, "type") or "Opaque",
            "data": {
                CERTIFICATE: _encoded(keyring.serving.chain_pem),
                KEY: _encoded(keyring.serving.key_pem),
                AUTHORITIES: _encoded(to_pem(keyring.serving.authorities)),
                AUTHORITY_KEY: _encoded(keyring.authority_key),
            },
        }
        if found is None:
            await self._cluster.create(SECRETS, body, self._namespace)
        else:
            await self._cluster.replace(SECRETS, body, self._namespace)
        _logger.info(
            "wrote Secret %s/%s: certificate until %s, %d authorities",
            self._namespace,
            SECRET_NAME,
            keyring.serving.ends_at.isoformat(),
            len(keyring.serving.authorities),
        )


class CertificateFolder:
    """A certificate that somebody else renews, such as cert-manager through a mounted Secret."""

    def __init__(self, folder: Path) -> None:
        """Describe it; the files are read at each question, because they change."""
        self._folder = folder

    async def current(self, trusted: Collection[x509.Certificate], now: datetime) -> Serving:
        """Return what the files hold now."""
        del trusted, now
        parts = [self._read(name) for name in (CERTIFICATE, KEY, AUTHORITIES)]
        try:
            return Serving.read(*parts)
        except UnusableCertificate as error:
            raise UnusableCertificate(
                f"the certificate in {self._folder} can't be used: {error}; see who renews it"
            ) from error

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        try:
            with path.open("rb") as stream:
                return stream.read(MAX_FILE_BYTES)
        except OSError as error:
            raise UnusableCertificate(
                f"{path} can't be read ({error.strerror}); mount tls.crt, tls.key and ca.crt "
                "there, or leave KAITO_WEBHOOK_CERTIFICATE_DIR out"
            ) from error


def _decoded(secret: Mapping[str, Any] | None, key: str) -> bytes:
    try:
        return base64.b64decode(text_at(secret, "data", key))
    except binascii.Error:
        return b""


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
