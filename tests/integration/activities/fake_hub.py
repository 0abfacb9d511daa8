"""A hub on loopback that answers as Hugging Face's does: statuses, error codes, redirects."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.harness.loopback import LoopbackServer
from tests.unit.planner import hub_configs as configs

GIB = 2**30
WELCOME = "hf_of_somebody_who_accepted"
"""The token that opens what is gated or private."""


@dataclass
class Repository:
    """One repository; its commit changes with its content, as git's do."""

    id: str
    config: dict[str, Any] | None
    sizes: dict[str, int | None]
    gated: bool | str = False
    private: bool = False
    index: dict[str, Any] | None = None
    message: str = "first"
    """Any change of it is a new commit."""
    branches: dict[str, str] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        return hashlib.sha1(
            f"{self.id} {self.config} {self.sizes} {self.message}".encode(), usedforsecurity=False
        ).hexdigest()

    def describe(self, *, with_sizes: bool) -> dict[str, Any]:
        names = {**self.sizes, "README.md": 1000}
        if self.config is not None:
            names |= {"config.json": 700, "tokenizer.json": 9000}
        if self.index is not None:
            names["model.safetensors.index.json"] = 5000
        return {
            "_id": "64",
            "id": self.id,
            "modelId": self.id,
            "sha": self.commit,
            "gated": self.gated,
            "private": self.private,
            "disabled": False,
            "tags": ["transformers", "license:apache-2.0"],
            "cardData": {"license": "apache-2.0"},
            "siblings": [
                {"rfilename": name, **({"size": size} if with_sizes and size is not None else {})}
                for name, size in names.items()
            ],
        }


def shards(count: int, bytes_each: int) -> dict[str, int | None]:
    return {
        f"model-{number:05}-of-{count:05}.safetensors": bytes_each for number in range(1, count + 1)
    }


def repositories() -> list[Repository]:
    return [
        Repository("NousResearch/Meta-Llama-3.1-8B", configs.LLAMA_3_1_8B, shards(4, 4 * GIB)),
        Repository(
            "meta-llama/Llama-3.1-8B", configs.LLAMA_3_1_8B, shards(4, 4 * GIB), gated="manual"
        ),
        Repository("Qwen/Qwen2.5-7B-Instruct", configs.QWEN_2_5_7B, shards(4, 4 * GIB)),
        Repository(
            "mistralai/Mixtral-8x7B-v0.1",
            configs.MIXTRAL_8X7B,
            {**shards(19, 5 * GIB), "consolidated.00.safetensors": 95 * GIB},
        ),
        Repository("google/gemma-2-9b", configs.GEMMA_2_9B, shards(8, 2 * GIB), gated="auto"),
        Repository("deepseek-ai/DeepSeek-V2-Lite", configs.DEEPSEEK_V2_LITE, shards(4, 8 * GIB)),
        Repository("google-bert/bert-base-uncased", configs.BERT, {"model.safetensors": GIB}),
        Repository("TheBloke/Llama-2-7B-GGUF", None, {"llama-2-7b.Q4_K_M.gguf": 4 * GIB}),
        Repository("somebody/secret", configs.LLAMA_3_1_8B, shards(1, GIB), private=True),
        Repository(
            "openai-community/gpt2",
            configs.GPT_2,
            {"pytorch_model.bin": GIB // 2, "training_args.bin": 100},
        ),
        Repository("ibm-granite/granite-4.1-8b", configs.LLAMA_3_1_8B, shards(4, 4 * GIB)),
        Repository(
            "mirror/without-sizes",
            configs.PHI_4,
            dict.fromkeys(shards(6, 0)),
            index={"metadata": {"total_size": 29319014400}, "weight_map": {}},
        ),
    ]


class FakeHub(LoopbackServer):
    """Serves repositories; `fails_with` and friends make it misbehave."""

    def __init__(self) -> None:
        super().__init__()
        self.repositories = {one.id.casefold(): one for one in repositories()}
        self.renamed: dict[str, str] = {}
        self.requests: list[str] = []
        self.tokens: list[str] = []
        self.fails_with: int | None = None
        self.silent_seconds = 0.0
        self.body: bytes | None = None
        """Sent instead of any answer."""
        self.files_at = ""
        """Base URL of a storage service that files are redirected to."""

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{org}/{name}/revision/{revision:.+}", self._describe)
        app.router.add_get("/{org}/{name}/resolve/{commit}/{file}", self._file)
        return app

    def __getitem__(self, model_id: str) -> Repository:
        return self.repositories[model_id.casefold()]

    async def _note(self, request: web.Request) -> web.Response | None:
        self.requests.append(request.path)
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.silent_seconds:
            await asyncio.sleep(self.silent_seconds)
        if self.fails_with is not None:
            return web.Response(status=self.fails_with, text="the hub has a bad day")
        return web.Response(body=self.body) if self.body is not None else None

    @staticmethod
    def _refuse(status: int, code: str, message: str) -> web.Response:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        return web.json_response({"error": message}, status=status, headers=headers)

    def _find(self, request: web.Request) -> Repository | web.Response:
        has_token = request.headers.get("Authorization") == f"Bearer {WELCOME}"
        model_id = f"{request.match_info['org']}/{request.match_info['name']}"
        found = self.repositories.get(model_id.casefold())
        if request.headers.get("Authorization") and not has_token:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if found is None or (found.private and not has_token):
            # Strangers are told the same of what is hidden and what does not exist.
            status = 404 if has_token else 401
            return self._refuse(status, "RepoNotFound", "Repository not found")
        return found

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        failure = await self._note(request)
        if failure is not None:
            return failure
        old = f"{request.match_info['org']}/{request.match_info['name']}".casefold()
        if old in self.renamed:
            location = request.path_qs.replace(request.path.split("/revision/")[0], "")
            target = f"/api/models/{self.renamed[old]}{location}"
            return web.Response(status=307, headers={"Location": target})
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        revision = request.match_info["revision"]
        if revision not in {"main", "v1.0", "refs/pr/1", found.commit}:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return web.json_response(found.describe(with_sizes=request.query.get("blobs") == "true"))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        failure = await self._note(request)
        if failure is not None:
            return failure
        if self.files_at:
            return web.Response(status=302, headers={"Location": self.files_at + request.path})
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        if found.gated and request.headers.get("Authorization") != f"Bearer {WELCOME}":
            return self._refuse(401, "GatedRepo", f"Access to model {found.id} is restricted")
        content = {"config.json": found.config, "model.safetensors.index.json": found.index}
        value = content.get(request.match_info["file"])
        if value is None or request.match_info["commit"] != found.commit:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        return web.json_response(value)
