"""A model of Hugging Face: what is served as, and what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import UnknownModel, UnsupportedModel
from api.hub import HubModel
from api.preset import Attention, LatentAttention, Preset, RecurrentLayers, SlidingWindow
from planner.hub_families import BY_ARCHITECTURE, FAMILIES
from planner.hub_model import preset_of_hub, same_request, split_id
from presets.loader import load_catalogue
from tests.unit.planner import hub_configs as configs

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
GIB = 2**30


def hub_model(
    config: dict[str, Any], model_id: str = "someone/something", **changes: Any
) -> HubModel:
    return HubModel(
        **{
            "id": model_id,
            "commit": COMMIT,
            "config": config,
            "weights_bytes": 16 * GIB,
            "has_safetensors": True,
            "gated": False,
            "license": "apache-2.0",
            "files": ("config.json", "model.safetensors", "tokenizer.json"),
            **changes,
        }
    )


def refusal(model: HubModel) -> str:
    with pytest.raises(UnsupportedModel) as caught:
        preset_of_hub(model)
    return str(caught.value)


def flags(preset: Preset) -> dict[str, Any]:
    return dict(preset.runtimes[0].arguments)


# --- What a preset says -----------------------------------------------------------------------


def test_a_model_becomes_a_preset_of_its_commit_that_downloads_itself() -> None:
    preset = preset_of_hub(hub_model(configs.LLAMA_3_1_8B, "Meta-Llama/Llama-3.1-8B"))
    assert preset.name == "meta-llama/llama-3.1-8b"
    assert preset.model.hugging_face_id == "Meta-Llama/Llama-3.1-8B"
    assert preset.model.revision == COMMIT
    assert preset.weights.kind == "huggingface"
    assert preset.model.weights_bytes == 16 * GIB
    assert preset.disk == "96Gi"
    assert [one.name for one in preset.runtimes] == ["vllm", "transformers"]
    assert not preset.trust_remote_code


def test_the_same_model_is_the_same_preset() -> None:
    assert preset_of_hub(hub_model(configs.PHI_4)) == preset_of_hub(hub_model(configs.PHI_4))


ATTENTION = [
    (
        "grouped",
        configs.LLAMA_3_1_8B,
        Attention(layers=32, heads=32, key_value_heads=8, head_dimension=128),
    ),
    (
        "a window that is switched off",
        configs.QWEN_2_5_7B,
        Attention(layers=28, heads=28, key_value_heads=4, head_dimension=128),
    ),
    (
        "a head dimension of its own",
        configs.QWEN_3_8B_AWQ,
        Attention(layers=36, heads=32, key_value_heads=8, head_dimension=128),
    ),
    (
        "experts",
        configs.MIXTRAL_8X7B,
        Attention(layers=32, heads=32, key_value_heads=8, head_dimension=128),
    ),
    (
        "a window in every layer",
        configs.MISTRAL_7B_V0_1,
        Attention(
            layers=32,
            heads=32,
            key_value_heads=8,
            head_dimension=128,
            sliding=SlidingWindow(layers=32, tokens=4096),
        ),
    ),
    (
        "one key head for each query head",
        configs.PHI_3_MINI_128K,
        Attention(layers=32, heads=32, key_value_heads=32, head_dimension=96),
    ),
    (
        "a window in every second layer",
        configs.GEMMA_2_9B,
        Attention(
            layers=42,
            heads=16,
            key_value_heads=8,
            head_dimension=256,
            sliding=SlidingWindow(layers=21, tokens=4096),
        ),
    ),
    (
        "a window in five of six layers, defaults left out",
        configs.GEMMA_3_4B,
        Attention(
            layers=34,
            heads=8,
            key_value_heads=4,
            head_dimension=256,
            sliding=SlidingWindow(layers=29, tokens=1024),
        ),
    ),
    (
        "types of layers, one by one",
        configs.GPT_OSS_20B,
        Attention(
            layers=24,
            heads=64,
            key_value_heads=8,
            head_dimension=64,
            sliding=SlidingWindow(layers=12, tokens=128),
        ),
    ),
    (
        "latent",
        configs.DEEPSEEK_V2_LITE,
        Attention(
            layers=27,
            heads=16,
            key_value_heads=16,
            head_dimension=192,
            latent=LatentAttention(rank=512, rope_dimension=64),
        ),
    ),
    (
        "hybrid, by a pattern of letters",
        configs.NEMOTRON_3_NANO,
        Attention(
            layers=6,
            heads=32,
            key_value_heads=2,
            head_dimension=128,
            recurrent=RecurrentLayers(layers=23, state_bytes=49082368),
        ),
    ),
    (
        "hybrid, by a list",
        configs.QWEN_3_6_27B,
        Attention(
            layers=16,
            heads=24,
            key_value_heads=4,
            head_dimension=256,
            recurrent=RecurrentLayers(layers=48, state_bytes=153944064),
        ),
    ),
    (
        "hybrid, by a period",
        configs.JAMBA_MINI,
        Attention(
            layers=4,
            heads=32,
            key_value_heads=8,
            head_dimension=128,
            recurrent=RecurrentLayers(layers=28),
        ),
    ),
    (
        "one key head for all",
        configs.FALCON_7B,
        Attention(layers=32, heads=71, key_value_heads=1, head_dimension=64),
    ),
    (
        "the newer Falcons",
        configs.FALCON_40B,
        Attention(layers=60, heads=128, key_value_heads=8, head_dimension=64),
    ),
    (
        "the oldest names of keys",
        configs.GPT_2,
        Attention(layers=12, heads=12, key_value_heads=12, head_dimension=64),
    ),
]


@pytest.mark.parametrize(
    ("config", "attention"), [row[1:] for row in ATTENTION], ids=[row[0] for row in ATTENTION]
)
def test_the_shape_of_attention_is_read(config: dict[str, Any], attention: Attention) -> None:
    assert preset_of_hub(hub_model(config)).model.attention == attention


FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
LAYERS = [
    ("types without a window see everything", {"layer_types": [SLIDING] * 32}, 32, None, 0),
    (
        "types with a window",
        {"layer_types": [SLIDING] * 24 + [FULL] * 8, "sliding_window": 512},
        32,
        SlidingWindow(layers=24, tokens=512),
        0,
    ),
    (
        "chunks are windows",
        {"layer_types": ["chunked_attention"] * 24 + [FULL] * 8, "attention_chunk_size": 8192},
        32,
        SlidingWindow(layers=24, tokens=8192),
        0,
    ),
    (
        "a pattern in letters",
        {"sliding_window_pattern": "LLLG", "sliding_window": 4096},
        32,
        SlidingWindow(layers=24, tokens=4096),
        0,
    ),
    (
        "a pattern as a period",
        {"sliding_window_pattern": 8, "sliding_window": 4096},
        32,
        SlidingWindow(layers=28, tokens=4096),
        0,
    ),
    (
        "a window from some layer on",
        {"use_sliding_window": True, "max_window_layers": 20, "sliding_window": 4096},
        32,
        SlidingWindow(layers=12, tokens=4096),
        0,
    ),
    ("a window as long as the context", {"sliding_window": 131072}, 32, None, 0),
    ("a window of nothing", {"sliding_window": 0}, 32, None, 0),
    ("indices of layers with attention", {"attn_layer_indices": [9, 18, 27]}, 3, None, 29),
    ("an interval of full attention", {"full_attention_interval": 4}, 8, None, 24),
    ("types of attention by number", {"attn_type_list": [1, 0] * 16}, 16, None, 16),
    ("attention and a state in each layer", {"model_type": "falcon_h1"}, 32, None, 32),
    ("a word that nobody knows is full attention", {"layer_types": ["new"] * 32}, 32, None, 0),
    ("layers of another kind keep nothing", {"layers_block_type": ["mlp", FULL] * 16}, 16, None, 0),
]


@pytest.mark.parametrize(
    ("changes", "layers", "sliding", "recurrent"),
    [row[1:] for row in LAYERS],
    ids=[row[0] for row in LAYERS],
)
def test_each_layer_is_what_the_file_says(
    changes: dict[str, Any], layers: int, sliding: SlidingWindow | None, recurrent: int
) -> None:
    attention = preset_of_hub(hub_model({**configs.LLAMA_3_1_8B, **changes})).model.attention
    assert (attention.layers, attention.sliding) == (layers, sliding)
    assert (attention.recurrent.layers if attention.recurrent else 0) == recurrent


def test_of_two_kinds_of_heads_the_larger_cache_counts() -> None:
    wide = {**configs.GEMMA_2_9B, "global_head_dim": 512, "num_global_key_value_heads": 8}
    attention = preset_of_hub(hub_model(wide)).model.attention
    assert (attention.key_value_heads, attention.head_dimension) == (8, 512)
    narrow = {**wide, "num_global_key_value_heads": 2}
    attention = preset_of_hub(hub_model(narrow)).model.attention
    assert (attention.key_value_heads, attention.head_dimension) == (8, 256)


def test_keys_and_values_that_are_one_vector_are_latent_attention() -> None:
    config = {
        **configs.LLAMA_3_1_8B,
        "architectures": ["DeepseekV4ForCausalLM"],
        "head_dim": 512,
        "model_type": "deepseek_v4",
        "num_key_value_heads": 1,
        "qk_rope_head_dim": 64,
    }
    preset = preset_of_hub(hub_model(config))
    assert preset.model.attention.latent == LatentAttention(rank=448, rope_dimension=64)
    assert flags(preset)["tokenizer-mode"] == "deepseek_v4"


@pytest.mark.parametrize(
    ("rope", "length"),
    [
        (None, 32768),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"type": "yarn", "factor": 4.0}, 131072),
        ({"rope_type": "linear", "factor": 2}, 65536),
        ({"rope_type": "dynamic", "factor": 2.5}, 81920),
        ({"rope_type": "llama3", "factor": 8.0}, 32768),
        ({"type": "longrope", "factor": 32.0}, 32768),
        ({"rope_type": "default"}, 32768),
        ({"rope_type": "yarn", "factor": "4"}, 32768),
        ({"rope_type": "yarn", "factor": float("nan")}, 32768),
        ({"rope_type": "yarn", "factor": True}, 32768),
    ],
)
def test_the_context_is_stretched_as_the_file_says(
    rope: dict[str, Any] | None, length: int
) -> None:
    config = {**configs.QWEN_2_5_7B, "rope_scaling": rope}
    assert preset_of_hub(hub_model(config)).model.max_model_length == length


def test_parameters_of_rope_by_kind_of_layer_are_read_too() -> None:
    config = {
        **configs.GPT_OSS_20B,
        "rope_scaling": None,
        "rope_parameters": {
            "full_attention": {
                "rope_type": "yarn",
                "factor": 32.0,
                "original_max_position_embeddings": 4096,
            },
            "sliding_attention": {"rope_type": "default"},
        },
    }
    assert preset_of_hub(hub_model(config)).model.max_model_length == 131072


def test_gemma_3_gives_its_whole_length_beside_the_factor_that_made_it() -> None:
    assert preset_of_hub(hub_model(configs.GEMMA_3_4B)).model.max_model_length == 131072


@pytest.mark.parametrize(
    ("key", "value", "dtype"),
    [
        ("torch_dtype", "float16", "float16"),
        ("torch_dtype", "torch.bfloat16", "bfloat16"),
        ("dtype", "float32", "float32"),
        ("torch_dtype", None, "bfloat16"),
    ],
)
def test_the_type_of_the_weights_is_read(key: str, value: str | None, dtype: str) -> None:
    config = {**configs.LLAMA_3_1_8B, "torch_dtype": None, key: value}
    assert preset_of_hub(hub_model(config)).model.dtype == dtype


@pytest.mark.parametrize(
    ("config", "method"),
    [
        (configs.LLAMA_3_1_8B, ""),
        (configs.QWEN_3_8B_AWQ, "awq"),
        (configs.GPT_OSS_20B, "mxfp4"),
        (configs.DEEPSEEK_R1, "fp8"),
        (
            {**configs.GEMMA_3_4B, "quantization_config": {"quant_method": "compressed-tensors"}},
            "compressed-tensors",
        ),
    ],
)
def test_the_quantization_is_read_and_takes_the_transformers_runtime_away(
    config: dict[str, Any], method: str
) -> None:
    preset = preset_of_hub(hub_model(config))
    assert preset.model.quantization == method
    if method:
        assert [one.name for one in preset.runtimes] == ["vllm"]


@pytest.mark.parametrize(
    ("model_id", "config", "tool", "reasoning"),
    [
        ("NousResearch/Llama-3.1-8B", configs.LLAMA_3_1_8B, "llama3_json", None),
        ("NousResearch/Hermes-3-Llama-3.1-8B", configs.LLAMA_3_1_8B, "hermes", None),
        ("someone/my-llama", configs.LLAMA_3_1_8B, None, None),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", configs.LLAMA_3_1_8B, None, "deepseek_r1"),
        ("deepseek-ai/DeepSeek-R1", configs.DEEPSEEK_R1, "deepseek_v3", "deepseek_r1"),
        ("Qwen/Qwen2.5-7B-Instruct", configs.QWEN_2_5_7B, "hermes", None),
        ("Qwen/QwQ-32B", configs.QWEN_2_5_7B, "hermes", "deepseek_r1"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", configs.MIXTRAL_8X7B, "mistral", None),
        ("google/gemma-3-4b-it", configs.GEMMA_3_4B, None, None),
        ("openai/gpt-oss-20b", configs.GPT_OSS_20B, "openai", "openai_gptoss"),
    ],
)
def test_tool_calls_and_reasoning_are_parsed_as_the_model_writes_them(
    model_id: str, config: dict[str, Any], tool: str | None, reasoning: str | None
) -> None:
    arguments = flags(preset_of_hub(hub_model(config, model_id)))
    assert arguments.get("tool-call-parser") == tool
    assert arguments.get("enable-auto-tool-choice") == (True if tool else None)
    assert arguments.get("reasoning-parser") == reasoning


CATALOGUED = [
    ("llama-3.1-8b-instruct", configs.LLAMA_3_1_8B),
    ("qwen2.5-coder-7b-instruct", configs.QWEN_2_5_7B),
    ("qwen3.6-27b", configs.QWEN_3_6_27B),
    ("phi-4", configs.PHI_4),
    ("phi-3-mini-128k-instruct", configs.PHI_3_MINI_128K),
    ("gemma-3-4b-it", configs.GEMMA_3_4B),
    ("gpt-oss-20b", configs.GPT_OSS_20B),
    ("deepseek-r1-0528", configs.DEEPSEEK_R1),
    ("nvidia-nemotron-3-nano-30b-a3b-bf16", configs.NEMOTRON_3_NANO),
    ("falcon-7b-instruct", configs.FALCON_7B),
    ("falcon-40b-instruct", configs.FALCON_40B),
]
CATALOGUE = load_catalogue()


@pytest.mark.parametrize(("name", "config"), CATALOGUED, ids=[row[0] for row in CATALOGUED])
def test_a_model_of_the_catalogue_is_read_as_the_catalogue_describes_it(
    name: str, config: dict[str, Any]
) -> None:
    entry = CATALOGUE.get(name)
    assert entry is not None
    read = preset_of_hub(hub_model(config, entry.model.hugging_face_id))
    for fact in (
        "architecture",
        "attention",
        "dtype",
        "hidden_size",
        "max_model_length",
        "quantization",
    ):
        assert getattr(read.model, fact) == getattr(entry.model, fact), fact
    for flag in ("tool-call-parser", "reasoning-parser"):
        assert flags(read).get(flag) == flags(entry).get(flag)


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (configs.BERT, "'BertForMaskedLM' is no language model"),
        (configs.T5, "'T5ForConditionalGeneration' is no language model"),
        (configs.BAICHUAN, "'BaichuanForCausalLM' needs Python code of the repository"),
        (
            {**configs.LLAMA_3_1_8B, "architectures": ["NewForCausalLM"]},
            "'NewForCausalLM' is not supported; supported are Llama, ",
        ),
        ({**configs.LLAMA_3_1_8B, "architectures": None}, "names no architectures"),
        ({**configs.LLAMA_3_1_8B, "architectures": []}, "names no architectures"),
        ({**configs.LLAMA_3_1_8B, "architectures": [7]}, "names no architectures"),
        (
            {**configs.LLAMA_3_1_8B, "num_hidden_layers": None},
            "does not say num_hidden_layers",
        ),
        (
            {**configs.LLAMA_3_1_8B, "num_hidden_layers": "32"},
            "num_hidden_layers is '32', which is no positive whole number",
        ),
        ({**configs.LLAMA_3_1_8B, "num_hidden_layers": 10**9}, "1000000000 layers"),
        ({**configs.LLAMA_3_1_8B, "num_attention_heads": 0}, "num_attention_heads is 0"),
        ({**configs.LLAMA_3_1_8B, "num_attention_heads": True}, "num_attention_heads is True"),
        (
            {**configs.LLAMA_3_1_8B, "num_attention_heads": 10**5000},
            "num_attention_heads is a number beyond all measure",
        ),
        (
            {**configs.LLAMA_3_1_8B, "num_key_value_heads": 64},
            "num_key_value_heads is 64 for 32 attention heads",
        ),
        (
            {**configs.LLAMA_3_1_8B, "num_key_value_heads": [8, 8, 4]},
            "num_key_value_heads is a list",
        ),
        ({**configs.LLAMA_3_1_8B, "hidden_size": 16}, "hidden_size is 16 for 32 attention heads"),
        (
            {**configs.LLAMA_3_1_8B, "max_position_embeddings": -1},
            "max_position_embeddings is -1",
        ),
        ({**configs.LLAMA_3_1_8B, "torch_dtype": "float8_e4m3fn"}, "dtype is 'float8_e4m3fn'"),
        (
            {**configs.LLAMA_3_1_8B, "quantization_config": {"quant_method": "exl2"}},
            "quantization_config.quant_method is 'exl2'; supported are auto-round, awq",
        ),
        (
            {**configs.LLAMA_3_1_8B, "quantization_config": {"bits": 4}},
            "quantization_config.quant_method is None",
        ),
        (
            {**configs.GPT_OSS_20B, "layer_types": ["full_attention"]},
            "lists 1 types of layers for 24 layers",
        ),
        (
            {**configs.NEMOTRON_3_NANO, "hybrid_override_pattern": "M" * 52},
            "none of its layers has attention",
        ),
    ],
)
def test_what_can_not_be_served_is_refused_with_what_is_wrong(
    config: dict[str, Any], says: str
) -> None:
    message = refusal(hub_model(config))
    assert message.startswith("someone/something can't be served: ")
    assert says in message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": {}, "files": ("model-q4.gguf",)}, "GGUF files only"),
        ({"config": {}, "files": ("model_index.json",)}, "makes pictures or sound"),
        ({"config": {}, "files": ("adapter_config.json",)}, "an adapter and no model"),
        ({"config": {}, "files": ("params.json",)}, "has no config.json"),
        ({"weights_bytes": 0, "files": ("config.json", "m.GGUF")}, "GGUF files only"),
        ({"weights_bytes": 0, "files": ("config.json",)}, "no weights as .safetensors or .bin"),
        (
            {"files": ("config.json", "tokenization_kimi.py", "tiktoken.model")},
            "its tokenizer is Python code",
        ),
    ],
)
def test_a_repository_without_a_whole_model_is_refused(changes: dict[str, Any], says: str) -> None:
    model = hub_model(configs.LLAMA_3_1_8B).model_copy(update=changes)
    assert says in refusal(model)


def test_code_in_a_repository_is_no_hindrance_where_it_is_not_needed() -> None:
    files = ("config.json", "modeling_phi3.py", "tokenization_phi3.py", "tokenizer.json")
    preset = preset_of_hub(hub_model(configs.PHI_3_MINI_128K, files=files))
    assert not preset.trust_remote_code


def test_every_architecture_belongs_to_one_family() -> None:
    assert len(BY_ARCHITECTURE) == sum(len(family.architectures) for family in FAMILIES)


# --- Anything at all --------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 200)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["yarn", "full_attention", "mamba", "gemma3_text", "falcon", "awq"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = sorted(
    {key for config in vars(configs).values() if isinstance(config, dict) for key in config}
    | {
        "attn_config",
        "attn_layer_indices",
        "attn_type_list",
        "attention_chunk_size",
        "global_head_dim",
        "layers_block_type",
        "rope_parameters",
        "sliding_window_pattern",
    }
)
BASES = st.sampled_from(
    [value for value in vars(configs).values() if isinstance(value, dict) and "model_type" in value]
)


@given(
    base=BASES,
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6),
    weights_bytes=st.integers(-1, 2**60),
)
def test_whatever_a_config_holds_it_is_served_or_refused(
    base: dict[str, Any], changes: dict[str, Any], weights_bytes: int
) -> None:
    config = {**base, **changes}
    nested = base.get("text_config")
    if nested:
        config["text_config"] = {**nested, **changes}
    try:
        preset = preset_of_hub(hub_model(config, weights_bytes=weights_bytes))
    except UnsupportedModel as error:
        message = str(error)
    else:
        assert Preset.model_validate_json(preset.model_dump_json(by_alias=True)) == preset
        return
    assert message.startswith("someone/something can't be served: ")


# --- Ids --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", ("org/name", "main")),
        ("Qwen/Qwen2.5-7B-Instruct", ("Qwen/Qwen2.5-7B-Instruct", "main")),
        ("org/name@v1.0", ("org/name", "v1.0")),
        (f"org/name@{COMMIT}", ("org/name", COMMIT)),
        ("org/name@refs/pr/3", ("org/name", "refs/pr/3")),
    ],
)
def test_an_id_may_name_a_revision(text: str, expected: tuple[str, str]) -> None:
    assert split_id(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "name",
        "org/",
        "/name",
        "../../etc/passwd",
        "org/..",
        "org/na..me",
        "org/na--me",
        "org/name.git",
        "org/name/more",
        "org/na me",
        "org/name?x=1",
        "org/name#x",
        "org/name%2e",
        "-org/name",
        "org/" + "n" * 97,
        "org/name@",
        "org/name@../main",
        "org/name@/main",
        "org/name@a//b",
        "org/name@a b",
        "org/name@" + "r" * 201,
        "org/name@x@y",
        "http://evil/x",
        "org\\x/name",
        "org/name\n",
        "örg/name",
    ],
)
def test_what_can_not_be_an_id_is_never_put_into_an_address(text: str) -> None:
    with pytest.raises(UnknownModel):
        split_id(text)


@given(st.text())
def test_an_id_is_plain_or_refused(text: str) -> None:
    try:
        parts = split_id(text)
    except UnknownModel:
        return
    assert all(".." not in part and not part.startswith("/") for part in parts)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Org/Name", "org/name", True),
        ("org/name", "org/name@main", True),
        ("org/name@V1", "org/name@v1", False),
        ("org/name", "org/name@v1", False),
        ("org/name", "org/other", False),
    ],
)
def test_an_id_has_no_case_and_a_revision_has(one: str, other: str, *, same: bool) -> None:
    assert same_request(one, other) is same
