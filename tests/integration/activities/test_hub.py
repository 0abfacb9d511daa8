"""The client of the model hub: what it asks, what it keeps, and what a refusal becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activities.clients import hugging_face
from activities.clients.hugging_face import HubError, HuggingFaceClient
from activities.errors import translate
from api.errors import PlatformError, UnsupportedModel
from planner.hub_model import preset_of_hub
from tests.integration.activities.fake_hub import GIB, WELCOME, FakeHub

LLAMA = "NousResearch/Meta-Llama-3.1-8B"
GATED = "meta-llama/Llama-3.1-8B"


@pytest_asyncio.fixture
async def client(hub: FakeHub) -> AsyncIterator[HuggingFaceClient]:
    opened = HuggingFaceClient(hub.base_url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def cached(hub: FakeHub, tmp_path: Path) -> AsyncIterator[HuggingFaceClient]:
    opened = HuggingFaceClient(hub.base_url, cache_folder=str(tmp_path))
    yield opened
    await opened.close()


def offline(hub: FakeHub, folder: Path | str) -> HuggingFaceClient:
    return HuggingFaceClient(hub.base_url, cache_folder=str(folder), is_offline=True)


async def refusal(call: Awaitable[Any]) -> PlatformError:
    """Return what people are told."""
    with pytest.raises(HubError) as caught:
        await call
    translated = translate(caught.value)
    assert translated is not None
    return translated


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- What is asked ----------------------------------------------------------------------------


async def test_a_model_is_read_at_its_commit_in_two_requests(
    hub: FakeHub, client: HuggingFaceClient
) -> None:
    model = await client.model(LLAMA, "main")
    commit = hub[LLAMA].commit
    assert (model.id, model.commit) == (LLAMA, commit)
    assert model.weights_bytes == 16 * GIB
    assert model.has_safetensors
    assert not model.gated
    assert model.license == "apache-2.0"
    assert model.config["num_hidden_layers"] == 32
    assert hub.requests == [
        f"/api/models/{LLAMA}/revision/main",
        f"/{LLAMA}/resolve/{commit}/config.json",
    ]
    assert set(hub.tokens) == {""}


@pytest.mark.parametrize(
    ("model_id", "weights_bytes", "has_safetensors"),
    [
        ("mistralai/Mixtral-8x7B-v0.1", 95 * GIB, True),
        ("openai-community/gpt2", GIB // 2, False),
        ("mirror/without-sizes", 29319014400, True),
        ("google-bert/bert-base-uncased", GIB, True),
        ("TheBloke/Llama-2-7B-GGUF", 0, False),
    ],
)
async def test_only_files_that_a_server_loads_count_as_weights(
    client: HuggingFaceClient, model_id: str, weights_bytes: int, *, has_safetensors: bool
) -> None:
    model = await client.model(model_id, "main")
    assert (model.weights_bytes, model.has_safetensors) == (weights_bytes, has_safetensors)


@pytest.mark.parametrize(
    "model_id",
    [
        LLAMA,
        "Qwen/Qwen2.5-7B-Instruct",
        "mistralai/Mixtral-8x7B-v0.1",
        "deepseek-ai/DeepSeek-V2-Lite",
        "openai-community/gpt2",
        "mirror/without-sizes",
    ],
)
async def test_what_the_hub_serves_can_be_planned(client: HuggingFaceClient, model_id: str) -> None:
    assert preset_of_hub(await client.model(model_id, "main")).name == model_id.casefold()


@pytest.mark.parametrize("model_id", ["google-bert/bert-base-uncased", "TheBloke/Llama-2-7B-GGUF"])
async def test_what_no_runtime_serves_is_still_described(
    client: HuggingFaceClient, model_id: str
) -> None:
    with pytest.raises(UnsupportedModel):
        preset_of_hub(await client.model(model_id, "main"))


async def test_the_token_opens_a_gated_model(hub: FakeHub, client: HuggingFaceClient) -> None:
    model = await client.model(GATED, "main", WELCOME)
    assert model.gated
    assert set(hub.tokens) == {f"Bearer {WELCOME}"}


async def test_a_renamed_model_is_found_under_its_new_name(
    hub: FakeHub, client: HuggingFaceClient
) -> None:
    hub.renamed["old/llama"] = LLAMA
    assert (await client.model("old/llama", "main")).id == LLAMA


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1"])
async def test_a_revision_reaches_the_hub_as_it_is(
    hub: FakeHub, client: HuggingFaceClient, revision: str
) -> None:
    assert (await client.model(LLAMA, revision)).commit == hub[LLAMA].commit


async def test_a_token_is_not_sent_to_where_a_file_is_stored(client: HuggingFaceClient) -> None:
    async with FakeHub() as storage, FakeHub() as hub:
        hub.files_at = storage.base_url.replace("127.0.0.1", "localhost")
        redirected = HuggingFaceClient(hub.base_url)
        try:
            await redirected.model(LLAMA, "main", WELCOME)
        finally:
            await redirected.close()
        assert set(hub.tokens) == {f"Bearer {WELCOME}"}
        assert storage.tokens == [""]


async def test_a_hundred_askers_cost_two_requests(hub: FakeHub, client: HuggingFaceClient) -> None:
    models = await asyncio.gather(*(client.model(LLAMA, "main") for _ in range(100)))
    assert len({model.commit for model in models}) == 1
    assert len(hub.requests) == 2


async def test_what_one_account_may_read_is_not_remembered_for_another(
    client: HuggingFaceClient,
) -> None:
    await client.model(GATED, "main", WELCOME)
    assert (await refusal(client.model(GATED, "main"))).reason() == "ModelAccessDenied"


async def test_an_answer_is_asked_for_again_once_it_is_old(
    hub: FakeHub, client: HuggingFaceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.model(LLAMA, "main")
    hub[LLAMA].message = "second"
    assert (await client.model(LLAMA, "main")).commit == first.commit
    monkeypatch.setattr(hugging_face, "REMEMBERED_SECONDS", 0.0)
    assert (await client.model(LLAMA, "main")).commit == hub[LLAMA].commit != first.commit


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "reason", "says"),
    [
        ((GATED, "main", ""), "ModelAccessDenied", "presetOptions.modelAccessSecret"),
        ((GATED, "main", "hf_wrong"), "ModelAccessDenied", "Invalid credentials"),
        (("somebody/secret", "main", ""), "UnknownModel", "if it is private"),
        (("no/such", "main", ""), "UnknownModel", "check how the model is spelt"),
        (("no/such", "main", WELCOME), "UnknownModel", "RepoNotFound"),
        ((LLAMA, "v9", ""), "UnknownModel", "Invalid rev id: v9"),
    ],
)
async def test_a_refusal_says_who_can_help(
    client: HuggingFaceClient, asked: tuple[str, str, str], reason: str, says: str
) -> None:
    model_id, revision, token = asked
    error = await refusal(client.model(model_id, revision, token))
    assert error.reason() == reason
    assert says in str(error)
    assert not token or token not in str(error)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 418])
async def test_the_hubs_own_trouble_passes(
    hub: FakeHub, client: HuggingFaceClient, status: int
) -> None:
    hub.fails_with = status
    error = await refusal(client.model(LLAMA, "main"))
    assert error.reason() == "HubUnavailable"
    assert str(status) in str(error)
    assert "KAITO_HUB_ENDPOINT" in str(error)
    hub.fails_with = None
    assert (await client.model(LLAMA, "main")).id == LLAMA


@pytest.mark.parametrize(
    "body",
    [
        b"<html>please log in to the wireless network</html>",
        b"[]",
        b"{}",
        b'{"id": "a/b", "sha": "main"}',
        b'{"id": "../../etc", "sha": "0e9e39f249a16976918f6564b8830bc894c89659"}',
        b'{"id": 7, "sha": null, "siblings": "none"}',
        b"[" * 100_000,
        b"9" * 10_000,
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_none_is_the_hubs_trouble(
    hub: FakeHub, client: HuggingFaceClient, body: bytes
) -> None:
    hub.body = body
    error = await refusal(client.model(LLAMA, "main"))
    assert error.reason() == "HubUnavailable"


async def test_an_answer_without_end_is_cut_off(
    hub: FakeHub, client: HuggingFaceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugging_face, "MAX_ANSWER_BYTES", 2**20)
    hub.body = b" " * (2**20 + 1)
    assert "more than 1 MiB" in str(await refusal(client.model(LLAMA, "main")))


async def test_a_hub_that_says_nothing_is_given_up_with_the_limit_named(
    hub: FakeHub, client: HuggingFaceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugging_face, "MODEL_TIMEOUT_SECONDS", 0.1)
    hub.silent_seconds = 0.5
    error = await refusal(client.model(LLAMA, "main"))
    assert error.reason() == "HubUnavailable"
    assert "within 0 s" in str(error)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
async def test_a_hub_that_is_not_there_is_named(endpoint: str) -> None:
    nowhere = HuggingFaceClient(endpoint)
    try:
        error = await refusal(nowhere.model(LLAMA, "main"))
    finally:
        await nowhere.close()
    assert error.reason() == "HubUnavailable"
    assert endpoint in str(error)


@pytest.mark.parametrize(
    "endpoint", ["", "huggingface.co", "ftp://huggingface.co", "file:///etc", "https://"]
)
def test_an_endpoint_must_be_an_address_of_the_web(endpoint: str) -> None:
    with pytest.raises(ValueError, match="KAITO_HUB_ENDPOINT"):
        HuggingFaceClient(endpoint)


# --- The folder -------------------------------------------------------------------------------


async def test_a_folder_that_was_filled_serves_without_the_hub(
    hub: FakeHub, cached: HuggingFaceClient, tmp_path: Path
) -> None:
    online = await cached.model(LLAMA, "main")
    hub.fails_with = 500
    asked = len(hub.requests)
    client = offline(hub, tmp_path)
    for revision in ("main", online.commit):
        assert await client.model(LLAMA.upper(), revision) == online
    assert len(hub.requests) == asked


async def test_the_folder_is_laid_out_as_promised(
    hub: FakeHub, cached: HuggingFaceClient, tmp_path: Path
) -> None:
    await cached.model("mirror/without-sizes", "main")
    await cached.model(LLAMA, "refs/pr/1")
    commits = {name: hub[name].commit for name in (LLAMA, "mirror/without-sizes")}
    assert files_in(tmp_path) == sorted(
        [
            f"mirror--without-sizes/{commits['mirror/without-sizes']}/config.json",
            f"mirror--without-sizes/{commits['mirror/without-sizes']}/model.json",
            f"mirror--without-sizes/{commits['mirror/without-sizes']}/model.safetensors.index.json",
            "mirror--without-sizes/refs/main",
            f"nousresearch--meta-llama-3.1-8b/{commits[LLAMA]}/config.json",
            f"nousresearch--meta-llama-3.1-8b/{commits[LLAMA]}/model.json",
            "nousresearch--meta-llama-3.1-8b/refs/refs%2Fpr%2F1",
        ]
    )


async def test_files_of_the_hub_itself_fill_a_folder(hub: FakeHub, tmp_path: Path) -> None:
    repository = hub[LLAMA]
    folder = tmp_path / "nousresearch--meta-llama-3.1-8b" / repository.commit
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(repository.describe(with_sizes=True)))
    (folder / "config.json").write_text(json.dumps(repository.config))
    model = await offline(hub, tmp_path).model(LLAMA, repository.commit)
    assert model.weights_bytes == 16 * GIB


async def test_a_missing_file_of_the_folder_is_named(
    hub: FakeHub, cached: HuggingFaceClient, tmp_path: Path
) -> None:
    commit = (await cached.model(LLAMA, "main")).commit
    folder = tmp_path / "nousresearch--meta-llama-3.1-8b"
    client = offline(hub, tmp_path)
    for path in (
        folder / commit / "config.json",
        folder / commit / "model.json",
        folder / "refs" / "main",
    ):
        path.unlink()
        error = await refusal(client.model(LLAMA, "main"))
        assert error.reason() == "HubUnavailable"
        assert str(path) in str(error)
    assert "KAITO_HUB_CACHE" in str(await refusal(offline(hub, "").model(LLAMA, "main")))


@pytest.mark.parametrize("model_id", [GATED, "somebody/secret"])
async def test_what_is_not_for_everybody_is_not_kept_in_the_folder(
    cached: HuggingFaceClient, tmp_path: Path, model_id: str
) -> None:
    await cached.model(model_id, "main", WELCOME)
    assert files_in(tmp_path) == []


async def test_a_file_that_the_folder_has_is_not_asked_for_again(
    hub: FakeHub, cached: HuggingFaceClient, tmp_path: Path
) -> None:
    await cached.model(LLAMA, "main")
    hub.requests.clear()
    other = HuggingFaceClient(hub.base_url, cache_folder=str(tmp_path))
    try:
        await other.model(LLAMA, "main")
    finally:
        await other.close()
    assert hub.requests == [f"/api/models/{LLAMA}/revision/main"]


async def test_a_folder_that_can_not_be_written_to_costs_nothing_but_a_warning(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    client = HuggingFaceClient(hub.base_url, cache_folder=str(tmp_path / "cache"))
    try:
        assert (await client.model(LLAMA, "main")).id == LLAMA
    finally:
        await client.close()
    assert "cache can't be written" in caplog.text


async def test_half_a_file_in_the_folder_is_as_good_as_none(
    hub: FakeHub, cached: HuggingFaceClient, tmp_path: Path
) -> None:
    commit = (await cached.model(LLAMA, "main")).commit
    path = tmp_path / "nousresearch--meta-llama-3.1-8b" / commit / "config.json"
    path.write_text('{"architectures": [')
    assert str(path) in str(await refusal(offline(hub, tmp_path).model(LLAMA, "main")))
