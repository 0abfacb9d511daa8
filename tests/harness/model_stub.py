"""Stands in for the model server: kwok's pods have no containers that could answer."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from tests.harness.loopback import LoopbackServer


class ModelStub(LoopbackServer):
    """Answers /health, /v1/models and /v1/chat/completions as the runtime does."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model
        self.adapters: list[str] = []
        self.models_text: str | None = None
        """What /v1/models answers instead of a list of models."""
        self.is_healthy = True
        self.requests_count = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completion)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        self.requests_count += 1
        return web.Response(status=200 if self.is_healthy else 503)

    async def _models(self, request: web.Request) -> web.Response:
        self.requests_count += 1
        if self.models_text is not None:
            return web.Response(text=self.models_text)
        listed = [{"id": name, "object": "model"} for name in (self.model, *self.adapters)]
        return web.json_response({"object": "list", "data": listed})

    def _reply(self, choice: dict[str, Any]) -> web.Response:
        self.requests_count += 1
        return web.json_response(
            {
                "id": f"stub-{time.monotonic_ns()}",
                "model": self.model,
                "choices": [{"index": 0, "finish_reason": "stop", **choice}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )

    async def _chat(self, request: web.Request) -> web.Response:
        return self._reply({"message": {"role": "assistant", "content": "Hello."}})

    async def _completion(self, request: web.Request) -> web.Response:
        return self._reply({"text": "Hello."})
