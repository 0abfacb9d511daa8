"""The catalogue's models: complete, and true to what is known; where and why upstream's differ."""

from __future__ import annotations

import re
from typing import Final

import pytest

from api.preset import ImageAccess, Preset, RuntimeName, WeightsKind
from presets.loader import FOLDER, load_catalogue
from tests.unit.presets import upstream

PRESETS: Final = {one.name: one for one in load_catalogue().presets.values()}
DOWNLOADED: Final = {
    name: one for name, one in PRESETS.items() if one.weights.kind is WeightsKind.HUGGING_FACE
}
MODELS_OF_V012: Final = upstream.models("v0.12")

NEEDS_REMOTE_CODE: Final = {
    "kimi-k2.5",  # tokenizer
    "kimi-k2.6",
    "kimi-k2.7-code",
    "nvidia-nemotron-nano-12b-v2-vl-bf16",  # configuration
}
UNPINNED: Final = {"qwen3.5-397b-a17b-gptq-int4"}
"""No public project was found that names a commit."""
WEIGHTS_COUNTED_TWICE: Final = {"gpt-oss-20b", "gpt-oss-120b"}
"""Upstream adds up two copies that are in the repository."""
LAYERS_WITHOUT_CACHE: Final = {
    "qwen3.5-2b": 6,
    "qwen3.5-4b": 8,
    "qwen3.5-9b": 8,
    "qwen3.5-122b-a10b": 12,
    "qwen3.5-122b-a10b-gptq-int4": 12,
    "qwen3.5-397b-a17b-gptq-int4": 15,
    "qwen3.6-27b": 16,
    "qwen3.6-35b-a3b": 10,
    "qwen3.6-35b-a3b-fp8": 10,
    "qwen3.8-27b": 16,
    "nemotron-cascade-2-30b-a3b": 6,
    "nvidia-nemotron-3-nano-30b-a3b-bf16": 6,
    "nvidia-nemotron-3-nano-4b-bf16": 4,
    "nvidia-nemotron-3-super-120b-a12b-bf16": 8,
    "nvidia-nemotron-nano-12b-v2-vl-bf16": 6,
    "nvidia-nemotron-nano-9b-v2": 4,
}
"""Layers with attention of hybrid models; upstream counts a cache for all of their layers."""
KEYS_ARE_VALUES: Final = {"deepseek-v4-flash-0731", "deepseek-v4-pro"}
"""One vector serves as both; upstream counts two."""
SLIDING_LAYERS: Final = {
    "gemma-3-4b-it": (29, 34, 1024),
    "gemma-3-27b-it": (52, 62, 1024),
    "gemma-4-12b-it": (40, 48, 1024),
    "gemma-4-26b-a4b-it": (25, 30, 1024),
    "gemma-4-31b-it": (50, 60, 1024),
    "gpt-oss-20b": (12, 24, 128),
    "gpt-oss-120b": (18, 36, 128),
}

PARSERS_OF_TOOL_CALLS: Final = {
    "deepseek_v3",
    "deepseek_v32",
    "deepseek_v4",
    "gemma4",
    "glm47",
    "granite4",
    "hermes",
    "kimi_k2",
    "llama3_json",
    "minimax_m2",
    "mistral",
    "openai",
    "phi4_mini_json",
    "qwen3_coder",
}
"""Those in use; each is one that vLLM 0.32.0 has."""
PARSERS_OF_REASONING: Final = {
    "deepseek_r1",
    "deepseek_v3",
    "deepseek_v4",
    "gemma4",
    "glm45",
    "granite",
    "kimi_k2",
    "minimax_m2_append_think",
    "mistral",
    "nemotron_v3",
    "openai_gptoss",
    "qwen3",
}
CHAT_TEMPLATES: Final = {
    "falcon-instruct.jinja",
    "mistral-instruct.jinja",
    "tool-chat-deepseekr1.jinja",
    "tool-chat-deepseekv3.jinja",
    "tool-chat-gemma4.jinja",
    "tool-chat-llama3.1-json.jinja",
    "tool-chat-phi4-mini.jinja",
}
"""Files that the runtimes' images hold in /workspace/chat_templates."""


def find(name: str) -> Preset:
    found = load_catalogue().get(name)
    assert found is not None, name
    return found


def cache_bytes_per_token(preset: Preset) -> int:
    """In 16 bits, with no regard to sliding windows: upstream's formula."""
    attention = preset.model.attention
    if attention.latent is not None:
        values = attention.latent.rank + attention.latent.rope_dimension
    else:
        values = 2 * attention.key_value_heads * attention.head_dimension
    return attention.layers * values * 2


def arguments(preset: Preset, runtime: RuntimeName = RuntimeName.VLLM) -> dict[str, object]:
    found = preset.runtime(runtime)
    return {} if found is None else dict(found.arguments)


@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_every_name_of_upstream_finds_its_model_in_any_case(change: type[str]) -> None:
    missing = [name for name in upstream.names() if load_catalogue().get(change(name)) is None]
    assert missing == []


def test_there_are_24_models_of_v0_4_5_and_60_of_v0_12() -> None:
    assert len(upstream.models("v0.4.5")) == 24
    assert len(MODELS_OF_V012) == 60
    assert len({find(name).name for name in upstream.names()}) == 71


def test_names_of_one_model_find_one_file() -> None:
    for name, model in MODELS_OF_V012.items():
        found = {
            find(one).name for one in (name, model["huggingFaceId"], *model.get("aliases", ()))
        }
        assert len(found) == 1, name


def test_a_model_that_v0_4_5_knows_keeps_that_name() -> None:
    assert {name for name in upstream.models("v0.4.5") if find(name).name != name} == set()


def test_a_newer_model_has_the_short_name_of_its_repository() -> None:
    known = set(upstream.models("v0.4.5"))
    for name in MODELS_OF_V012:
        preset = find(name)
        if preset.name not in known:
            assert preset.name == preset.model.hugging_face_id.split("/")[1].lower()


@pytest.mark.parametrize("preset", DOWNLOADED.values(), ids=DOWNLOADED)
def test_the_repository_of_a_downloaded_model_is_a_name_of_it(preset: Preset) -> None:
    assert find(preset.model.hugging_face_id) is preset


def test_a_repository_whose_weights_come_from_elsewhere_is_no_name_of_the_model() -> None:
    for preset in PRESETS.values():
        if preset.name not in DOWNLOADED:
            assert load_catalogue().get(preset.model.hugging_face_id) is None


@pytest.mark.parametrize("version", ["v0.4.5", "v0.12"])
def test_what_upstream_pins_is_pinned_to_the_same_commit(version: str) -> None:
    for name, model in upstream.models(version).items():
        if "revision" in model:
            assert find(name).model.revision == model["revision"], name


def test_a_revision_is_a_whole_commit() -> None:
    for preset in PRESETS.values():
        assert re.fullmatch(r"([0-9a-f]{40})?", preset.model.revision), preset.name


def test_every_downloaded_model_but_one_is_pinned() -> None:
    assert {name for name, one in DOWNLOADED.items() if not one.model.revision} == UNPINNED


def test_what_runs_remote_code_is_pinned() -> None:
    assert all(find(name).model.revision for name in NEEDS_REMOTE_CODE)


def test_no_two_models_have_one_revision() -> None:
    revisions = [one.model.revision for one in DOWNLOADED.values() if one.model.revision]
    assert len(set(revisions)) == len(revisions)


def test_remote_code_runs_for_four_models_only() -> None:
    assert {name for name, one in PRESETS.items() if one.trust_remote_code} == NEEDS_REMOTE_CODE
    for preset in PRESETS.values():
        for runtime in preset.runtimes:
            assert not {"trust-remote-code", "trust_remote_code"} & set(runtime.arguments)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_facts_of_a_model_agree_with_each_other(preset: Preset) -> None:
    model = preset.model
    assert model.attention.heads % model.attention.key_value_heads == 0
    assert model.architecture.isidentifier()
    if model.parameters is not None:
        assert not model.quantization
        assert model.weights_bytes == model.parameters * 2


@pytest.mark.parametrize("name", MODELS_OF_V012)
def test_the_size_of_the_weights_is_upstreams(name: str) -> None:
    preset = find(name)
    upstreams = float(MODELS_OF_V012[name]["facts"]["weights"].removesuffix("Gi")) * 2**30
    if preset.name in WEIGHTS_COUNTED_TWICE:
        upstreams /= 2
    assert preset.model.weights_bytes == pytest.approx(upstreams, rel=0.01)


@pytest.mark.parametrize("name", MODELS_OF_V012)
def test_the_longest_context_is_upstreams(name: str) -> None:
    assert find(name).model.max_model_length == MODELS_OF_V012[name]["facts"]["context"]


@pytest.mark.parametrize("name", MODELS_OF_V012)
def test_a_token_takes_as_much_cache_as_upstream_says_where_it_is_right(name: str) -> None:
    preset, facts = find(name), MODELS_OF_V012[name]["facts"]
    expected = facts["kvBytesPerToken"]
    if preset.name in LAYERS_WITHOUT_CACHE:
        expected = expected * LAYERS_WITHOUT_CACHE[preset.name] // facts["layers"]
    if preset.name in KEYS_ARE_VALUES:
        expected //= 2
    assert cache_bytes_per_token(preset) == expected


def test_layers_with_a_sliding_window_are_named() -> None:
    found = {
        name: (sliding.layers, one.model.attention.layers, sliding.tokens)
        for name, one in PRESETS.items()
        if (sliding := one.model.attention.sliding) is not None
    }
    assert found == SLIDING_LAYERS


def test_hybrid_models_have_recurrent_layers() -> None:
    hybrid = {name for name, one in PRESETS.items() if one.model.attention.recurrent is not None}
    assert hybrid == set(LAYERS_WITHOUT_CACHE)


@pytest.mark.parametrize("name", sorted(name for name in PRESETS if name.startswith("qwen3.")))
def test_three_of_four_layers_of_qwen3_5_are_recurrent(name: str) -> None:
    attention = find(name).model.attention
    assert attention.recurrent is not None
    assert attention.recurrent.layers == 3 * attention.layers
    assert attention.recurrent.state_bytes > attention.recurrent.layers * 2**20


@pytest.mark.parametrize(
    "name", sorted({*WEIGHTS_COUNTED_TWICE, *LAYERS_WITHOUT_CACHE, *KEYS_ARE_VALUES})
)
def test_where_a_model_differs_from_upstream_its_file_says_why(name: str) -> None:
    assert "upstream" in find(name).note


@pytest.mark.parametrize("preset", DOWNLOADED.values(), ids=DOWNLOADED)
def test_disk_and_deadline_follow_the_size(preset: Preset) -> None:
    gib = preset.model.weights_bytes / 2**30
    assert int(preset.disk.removesuffix("Gi")) == pytest.approx(80 + gib, abs=1.1)
    assert 0 <= preset.ready_deadline_seconds - max(1800, 900 + 18 * gib) <= 61


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_model_has_more_disk_than_weights(preset: Preset) -> None:
    for quantity in (preset.disk, *([preset.tuning.disk] if preset.tuning else [])):
        assert int(quantity.removesuffix("Gi")) * 2**30 > preset.model.weights_bytes


def test_parsers_are_ones_that_the_server_has() -> None:
    flags = [arguments(preset) for preset in PRESETS.values()]
    tool_calls = {one["tool-call-parser"] for one in flags if "tool-call-parser" in one}
    reasoning = {one["reasoning-parser"] for one in flags if "reasoning-parser" in one}
    assert tool_calls == PARSERS_OF_TOOL_CALLS
    assert reasoning == PARSERS_OF_REASONING


def test_chat_templates_are_files_of_the_images() -> None:
    templates = {
        str(value)
        for preset in PRESETS.values()
        for runtime in preset.runtimes
        for flag, value in runtime.arguments.items()
        if flag in ("chat-template", "chat_template")
    }
    assert templates == {f"/workspace/chat_templates/{name}" for name in CHAT_TEMPLATES}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_parser_of_tool_calls_is_switched_on(preset: Preset) -> None:
    flags = arguments(preset)
    assert ("tool-call-parser" in flags) == (flags.get("enable-auto-tool-choice") is True)


@pytest.mark.parametrize(
    ("name", "flag", "expected"),
    [
        ("phi-4-mini-instruct", "tool-call-parser", "phi4_mini_json"),
        ("ministral-3-8b-instruct-2512", "tool-call-parser", "mistral"),
        ("deepseek-r1-distill-llama-8b", "tool-call-parser", None),
        ("deepseek-r1-distill-qwen-14b", "tokenizer-mode", None),
        ("deepseek-r1-0528", "tokenizer-mode", None),
        ("deepseek-v3-0324", "reasoning-parser", None),
        ("deepseek-v3.2", "chat-template", None),
        ("deepseek-v3.2", "tokenizer-mode", "deepseek_v32"),
        ("gemma-3-27b-it", "tool-call-parser", None),
        ("nvidia-nemotron-nano-9b-v2", "tool-call-parser", None),
        ("qwen2.5-coder-7b-instruct", "chat-template", None),
        ("mistral-7b", "tool-call-parser", None),
    ],
)
def test_a_flag_that_upstream_has_wrong_is_right(
    name: str, flag: str, expected: str | None
) -> None:
    assert arguments(find(name)).get(flag) == expected
    assert "upstream" in find(name).note


def test_nothing_is_set_that_the_server_finds_out_itself() -> None:
    for name, preset in DOWNLOADED.items():
        flags = arguments(preset)
        assert not {"dtype", "quantization", "max-model-len", "model", "revision"} & set(flags), (
            name
        )
        assert "auto" not in flags.values(), name


def test_falcon_7b_can_not_be_split_and_takes_no_adapters() -> None:
    for name, preset in PRESETS.items():
        runtime = preset.runtime(RuntimeName.VLLM)
        if runtime is not None:
            whole = name.startswith("falcon-7b")
            assert (runtime.tensor_parallel, runtime.adapters) == (not whole, not whole), name


def test_falcon_40b_asks_for_more_than_400_bytes_of_disk() -> None:
    assert {find(f"falcon-40b{suffix}").disk for suffix in ("", "-instruct")} == {"157Gi"}


def test_llama_2_is_in_an_image_of_the_users_own() -> None:
    private = {name for name, one in PRESETS.items() if one.image_access is ImageAccess.PRIVATE}
    assert private == {name for name in upstream.models("v0.4.5") if name.startswith("llama-2-")}
    for name in private:
        preset = find(name)
        assert preset.weights.kind is WeightsKind.IMAGE
        assert [one.name for one in preset.runtimes] == [RuntimeName.TRANSFORMERS]


def test_repositories_that_need_a_token_are_named() -> None:
    gated = {one.model.hugging_face_id.split("/")[0] for one in PRESETS.values() if one.model.gated}
    assert gated == {"meta-llama", "google"}
    assert not find("gemma-4-31b-it").model.gated
    assert find("gemma-3-4b-it").model.gated


def test_phi_2_can_be_used_and_names_its_successor() -> None:
    deprecated = {name: one.deprecated for name, one in PRESETS.items() if one.deprecated}
    assert set(deprecated) == {"phi-2"}
    assert any(name in deprecated["phi-2"] for name in PRESETS)


def test_the_models_that_upstream_tunes_can_be_tuned_and_the_smallest_one() -> None:
    assert {name for name, one in PRESETS.items() if one.tuning is not None} == {
        "falcon-40b",
        "falcon-7b",
        "mistral-7b",
        "phi-2",
        "phi-3-medium-128k-instruct",
        "phi-3-medium-4k-instruct",
        "phi-3-mini-128k-instruct",
        "phi-3-mini-4k-instruct",
        "phi-3.5-mini-instruct",
        "phi-4",
        "phi-4-mini-instruct",
        "qwen2.5-coder-32b-instruct",
        "qwen2.5-coder-7b-instruct",
        "smollm2-135m-instruct",
    }


def test_layers_for_adapters_are_those_of_the_models_own_code() -> None:
    for name, preset in PRESETS.items():
        if preset.tuning is not None and preset.model.architecture == "Phi3ForCausalLM":
            modules = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
            assert preset.tuning.target_modules == modules, name


def test_a_file_stays_short() -> None:
    lengths = {
        path.stem: len(path.read_text().splitlines())
        for path in (FOLDER / "catalogue").glob("*.yaml")
    }
    assert max(lengths.values()) <= 45, lengths
