"""The ValidatingWebhookConfiguration: tells the API server what to ask, whom, and whom to trust."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from activities.clients.kubernetes import HTTP_CONFLICT, ApiError, Kind, KubernetesClient
from api import names
from planner.fields import mapping_at, objects_at, text_at
from worker.webhook.pem import UnusableCertificate, read_certificates, to_pem
from worker.webhook.server import PATH

_logger = logging.getLogger(__name__)

CONFIGURATIONS: Final = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    is_namespaced=False,
)

CONFIGURATION_NAME: Final = "kaito-temporal-workspace"
WEBHOOK_NAME: Final = "validation.workspace.kaito.sh"

TIMEOUT_SECONDS: Final = 3
"""3 s, after which the API server goes on without us: what a hanging replica may cost a write. An
answer takes milliseconds, so this is for a machine that is overloaded."""

MAX_AUTHORITIES: Final = 10
"""So many are in caBundle at the most, unless more are in use; a rotation adds one in months (a
guess)."""

MAX_ATTEMPTS: Final = 5
"""As for the Secret."""

VERSIONS: Final = ("v1alpha1", "v1beta1")

CONDITION: Final = (
    "request.operation == 'CREATE' || "
    "object.metadata.generation != oldObject.metadata.generation || "
    "(has(object.metadata.annotations) ? object.metadata.annotations : {}) != "
    "(has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {})"
)
"""CEL: finalizers and labels are written without asking us. (The API server counts the generation
up for any change beside metadata and status.) An expression that fails counts as "do not ask",
because of the failure policy."""


@dataclass(frozen=True)
class Address:
    """Where API servers find the webhook: at a Service, or at a URL when one is set."""

    service: str
    namespace: str
    url: str = ""
    """Base URL, without our path."""

    @property
    def host(self) -> str:
        """Return the name that API servers expect in the certificate."""
        host = urlsplit(self.url).hostname or f"{self.service}.{self.namespace}.svc"
        try:
            # In the spelling that certificates give back.
            return str(ipaddress.ip_address(host))
        except ValueError:
            return host

    @property
    def hosts(self) -> list[str]:
        """Return every name that the certificate must be good for."""
        of_service = f"{self.service}.{self.namespace}"
        names_of_service = (f"{of_service}.svc", f"{of_service}.svc.cluster.local", of_service)
        # Once each, the expected one first.
        return list(dict.fromkeys((self.host, *names_of_service)))

    def client_config(self) -> dict[str, Any]:
        """Return `clientConfig` without its caBundle."""
        if self.url:
            return {"url": f"{self.url}{PATH}"}
        return {
            "service": {
                "name": self.service,
                "namespace": self.namespace,
                "path": PATH,
                "port": 443,
            }
        }


class Registration:
    """One configuration for all replicas; each of them sees to it that it is right."""

    def __init__(self, cluster: KubernetesClient, address: Address) -> None:
        """Describe it; nothing is read or written yet."""
        self._cluster = cluster
        self.address = address

    async def find(self) -> dict[str, Any] | None:
        """Return the configuration as it is, or None.

        Raises:
            ApiError, ClusterUnavailable: the API server refused or did not answer.
        """
        return await self._cluster.find(CONFIGURATIONS, CONFIGURATION_NAME)

    async def ensure(
        self,
        found: Mapping[str, Any] | None,
        authorities: Sequence[x509.Certificate],
        now: datetime,
    ) -> Mapping[str, Any]:
        """Make the configuration right where it is not, and return it.

        Raises:
            ApiError, ClusterUnavailable: the API server refused or did not answer.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            wanted = wanted_configuration(found, self.address, authorities, now)
            if wanted == found:
                return wanted
            try:
                return await self._write(wanted, is_new=found is None)
            except ApiError as error:
                if error.status != HTTP_CONFLICT or attempt == MAX_ATTEMPTS:
                    raise
            # Another replica was faster; what it wrote may be just right.
            found = await self.find()
        raise AssertionError("the last attempt returns or raises")

    async def _write(self, wanted: Mapping[str, Any], *, is_new: bool) -> Mapping[str, Any]:
        if is_new:
            written = await self._cluster.create(CONFIGURATIONS, wanted)
        else:
            # Replaced whole, guarded by its resourceVersion: `service` and `url` exclude each
            # other, and a merge would keep the one that somebody else had set.
            written = await self._cluster.replace(CONFIGURATIONS, wanted)
        _logger.info(
            "registered the webhook: %s, %d authorities",
            self.address.url or f"Service {self.address.namespace}/{self.address.service}",
            len(authorities_of(written)),
        )
        return written


def wanted_configuration(
    found: Mapping[str, Any] | None,
    address: Address,
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> dict[str, Any]:
    """Return the configuration as it should be, equal to `found` where that is right already.

    Ours are the fields that this sets. What else somebody added stays: a namespaceSelector that
    leaves namespaces out, or webhooks of other names.
    """
    entries = objects_at(found, "webhooks")
    is_there = any(text_at(one, "name") == WEBHOOK_NAME for one in entries)

    def corrected(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        if text_at(entry, "name") not in {"", WEBHOOK_NAME}:
            return entry
        config = _client_config(entry, address, authorities, now)
        return {**entry, **_entry(), "clientConfig": config}

    if found is None:
        metadata: Mapping[str, Any] = {
            "name": CONFIGURATION_NAME,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        }
    else:
        metadata = mapping_at(found, "metadata")
    return {
        **(found or {}),
        "apiVersion": CONFIGURATIONS.api_version,
        "kind": CONFIGURATIONS.kind,
        "metadata": metadata,
        "webhooks": [corrected(one) for one in (entries if is_there else [*entries, {}])],
    }


def authorities_of(configuration: Mapping[str, Any] | None) -> list[x509.Certificate]:
    """Return the authorities that the API server trusts for our webhook."""
    for entry in objects_at(configuration, "webhooks"):
        if text_at(entry, "name") == WEBHOOK_NAME:
            return _read_bundle(text_at(entry, "clientConfig", "caBundle"))
    return []


def _entry() -> dict[str, Any]:
    return {
        "name": WEBHOOK_NAME,
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "matchConditions": [{"name": "asks-for-something", "expression": CONDITION}],
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "apiVersions": list(VERSIONS),
                "operations": ["CREATE", "UPDATE"],
                # Without subresources: a status is never judged.
                "resources": [names.WORKSPACE_PLURAL],
                "scope": "Namespaced",
            }
        ],
    }


def _client_config(
    ours: Mapping[str, Any],
    address: Address,
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> dict[str, Any]:
    held_text = text_at(ours, "clientConfig", "caBundle")
    held = _read_bundle(held_text)
    if set(authorities) <= set(held) and all(one.not_valid_after_utc > now for one in held):
        # As it is written: another order or spacing is no reason to write.
        return {**address.client_config(), "caBundle": held_text}
    # Others stay until they expire: a replica that has not seen the new certificate yet, or a
    # folder that the kubelet has not refreshed yet, serves with the old one meanwhile.
    others = [one for one in held if one not in authorities and one.not_valid_after_utc > now]
    others.sort(key=lambda one: one.not_valid_before_utc, reverse=True)
    room = max(0, MAX_AUTHORITIES - len(authorities))
    bundle = to_pem([*authorities, *others[:room]])
    return {**address.client_config(), "caBundle": base64.b64encode(bundle).decode()}


def _read_bundle(text: str) -> list[x509.Certificate]:
    try:
        return read_certificates(base64.b64decode(text), "caBundle")
    except (binascii.Error, UnusableCertificate):
        return []
