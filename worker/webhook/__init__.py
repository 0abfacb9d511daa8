"""The validating admission webhook: what can't be carried out is refused before it is stored.

    API server ─► WebhookServer ─► review ─► Judge ─► planner.validation
                       ▲ certificate
    CertificateSecret or CertificateFolder ─► Webhook ─► Registration (caBundle)

It is a convenience and not a guard: the plan activity judges by the same rules, so whatever slips
past a webhook that is down gets the same sentence in its status. Hence `failurePolicy: Ignore`, and
hence nothing here ever reads the cluster to answer a request.
"""
