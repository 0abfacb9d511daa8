"""The step `endpoint`: ask the model server itself before any traffic reaches it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from activities.clients.model_endpoint import EndpointNotReady
from activities.context import ActivityContext
from activities.errors import implements
from activities.waiting import Deadline, Done, Still, wait_until
from activities.workspace.reading import read_revision, sizing_of_workload
from activities.workspace.revision_pods import Watched, pods_of
from api import contracts, names
from api import payloads as p
from api.errors import RuntimeFailed, trim
from planner.adapter_names import listed_adapters

PROMPT: Final = "The capital of France is"
ANSWER_TOKENS: Final = 8
"""Enough to see that the model generates; the answer itself is judged by nobody."""

ANSWER_CHARACTERS: Final = 120


class Endpoint:
    """Verifies every pod of a revision."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.verify_endpoint)
    async def verify_endpoint(self, payload: p.VerifyEndpointInput) -> p.VerifyEndpointResult:
        """See the contract."""
        revision = await read_revision(self._ctx, payload)
        workload = names.workload_name(payload.workspace.name, payload.revision)
        sizing = await sizing_of_workload(self._ctx, revision, workload)
        # The other pods of one instance only lend it their GPUs.
        is_one_instance = sizing is not None and sizing.nodes_per_instance > 1
        only = f"{workload}-0" if is_one_instance else ""
        adapters = listed_adapters(revision.workspace, revision.preset, revision.config_text)

        pods = Watched(self._ctx, payload.workspace, payload.revision)

        async def check() -> Done[p.VerifyEndpointResult] | Still:
            urls = self._urls(payload, only)
            if not urls:
                return Still("no pod of the revision has an address")
            try:
                for url in urls:
                    await self._ctx.model_endpoint.check_health(url)
                    await self._check_models(url, payload.served_model_name, adapters)
                return Done(await self._ask(urls[0], payload.served_model_name))
            except EndpointNotReady as error:
                # A server that crashes at its first question would only seem slow.
                await pods.judge(len(urls))
                return Still(str(error))

        return await wait_until(
            check,
            deadline=Deadline(
                "the model server's first answer",
                payload.deadline_seconds,
                f"See kubectl logs -n {payload.workspace.namespace} "
                f"-l {names.LABEL_REVISION}={payload.revision}.",
            ),
            informers=(self._ctx.informers.pods,),
            index_value=payload.workspace.uid,
        )

    def _urls(self, payload: p.VerifyEndpointInput, only: str) -> list[str]:
        """Return where the pods answer, or the one pod that does."""
        if self._ctx.settings.endpoint_base_url:
            return [self._ctx.settings.endpoint_base_url]
        pods = pods_of(self._ctx, payload.workspace, payload.revision)
        return [
            f"http://{pod.ip}:{names.PORT_SERVING}"
            for pod in sorted(pods, key=lambda pod: pod.name)
            if pod.ip and not pod.is_deleting and only in {"", pod.name}
        ]

    async def _check_models(self, url: str, model: str, adapters: Sequence[str]) -> None:
        served = await self._ctx.model_endpoint.models(url)
        listed = ", ".join(served) or "no model"
        if model not in served:
            raise RuntimeFailed(
                f"the server lists {listed} and not {model}; check --served-model-name in the "
                "runtime's configuration"
            )
        missing = [name for name in adapters if name not in served]
        if missing:
            raise RuntimeFailed(
                f"the server lists {listed} and not the adapter {', '.join(missing)}; check that "
                "inference.adapters names adapters of this model, and the server's log"
            )

    async def _ask(self, url: str, model: str) -> p.VerifyEndpointResult:
        started_seconds = time.monotonic()
        answer = await self._ctx.model_endpoint.complete(
            url, model=model, prompt=PROMPT, max_tokens=ANSWER_TOKENS
        )
        if not answer:
            raise RuntimeFailed(f"{model} generated nothing for a prompt of five words")
        return p.VerifyEndpointResult(
            model=model,
            answer=trim(answer, ANSWER_CHARACTERS),
            first_answer_seconds=round(time.monotonic() - started_seconds, 2),
        )
