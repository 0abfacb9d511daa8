"""Puts a webhook together from the settings."""

from __future__ import annotations

from pathlib import Path

from activities.clients.kubernetes import KubernetesClient
from presets.loader import load_catalogue
from worker.metrics import Metrics
from worker.settings import Settings
from worker.start_checks import ensure_namespace
from worker.webhook.certificates import Lifetimes
from worker.webhook.judge import Judge
from worker.webhook.metrics import WebhookMetrics
from worker.webhook.registration import Address, Registration
from worker.webhook.server import WebhookServer
from worker.webhook.sources import CertificateFolder, CertificateSecret, CertificateSource
from worker.webhook.webhook import Timing, Webhook


async def make_webhook(settings: Settings, cluster: KubernetesClient, metrics: Metrics) -> Webhook:
    """Return the webhook of this process, with its port taken and the catalogue loaded.

    Raises:
        StartRefused: the port is taken, or the namespace is missing and can't be made.
    """
    chosen = settings.webhook
    address = Address(service=chosen.service, namespace=chosen.namespace, url=chosen.url)
    source: CertificateSource
    if chosen.certificate_folder:
        source = CertificateFolder(Path(chosen.certificate_folder))
    else:
        await ensure_namespace(
            cluster, chosen.namespace, "the webhook's certificate", "KAITO_WEBHOOK_NAMESPACE"
        )
        source = CertificateSecret(cluster, chosen.namespace, address.hosts, Lifetimes())
    numbers = WebhookMetrics(metrics.registry)
    judge = Judge(settings.activities.platform, load_catalogue())
    server = WebhookServer(judge, numbers, host=chosen.host, port=chosen.port)
    server.reserve()
    # Called by its URL, it is on no list of endpoints that had to learn that it stops.
    timing = Timing(linger_seconds=0.0) if chosen.url else Timing()
    return Webhook(source, server, Registration(cluster, address), numbers, timing=timing)
