"""Which architectures the platform's servers serve without any code from the repository.

vLLM knows more; left out is what can't write text, what needs Python code of the repository (its
configuration, tokenizer or layers), and what no entry of the catalogue or user has asked for.
A family says how its models call tools and show their reasoning, unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.preset import ArgumentValue


@dataclass(frozen=True)
class Parsers:
    """Names that vLLM gives to ways of writing tool calls and reasoning; empty for none."""

    tool: str = ""
    reasoning: str = ""


@dataclass(frozen=True)
class Family:
    """Models of one maker and kind."""

    name: str
    architectures: tuple[str, ...]
    parsers: Parsers = Parsers()
    has_transformers: bool = True
    """The transformers runtime serves its text-only models."""
    arguments: tuple[tuple[str, ArgumentValue], ...] = ()
    """Flags that vLLM needs for all of its models, as the catalogue's entries have them."""


FAMILIES: Final = (
    Family("Llama", ("LlamaForCausalLM",)),
    Family(
        "Llama 4",
        ("Llama4ForCausalLM", "Llama4ForConditionalGeneration"),
        Parsers(tool="llama4_pythonic"),
    ),
    Family(
        "Mistral",
        (
            "MistralForCausalLM",
            "MixtralForCausalLM",
            "Ministral3ForCausalLM",
            "Mistral3ForConditionalGeneration",
        ),
    ),
    Family("Qwen 2", ("Qwen2ForCausalLM", "Qwen2MoeForCausalLM"), Parsers(tool="hermes")),
    Family("Qwen 2 VL", ("Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration")),
    Family(
        "Qwen 3",
        ("Qwen3ForCausalLM", "Qwen3MoeForCausalLM"),
        Parsers(tool="hermes", reasoning="qwen3"),
    ),
    Family(
        "Qwen 3 Next",
        ("Qwen3NextForCausalLM",),
        Parsers(tool="hermes"),
        has_transformers=False,
        arguments=(("gdn-prefill-backend", "triton"),),
    ),
    Family(
        "Qwen 3 VL",
        ("Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration"),
        Parsers(tool="hermes"),
    ),
    Family(
        "Qwen 3.5",
        ("Qwen3_5ForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration"),
        Parsers(tool="qwen3_coder", reasoning="qwen3"),
        arguments=(("gdn-prefill-backend", "triton"),),
    ),
    Family("Phi", ("PhiForCausalLM", "Phi3ForCausalLM", "PhiMoEForCausalLM")),
    Family("Gemma", ("GemmaForCausalLM", "Gemma2ForCausalLM")),
    Family(
        "Gemma 3",
        (
            "Gemma3ForCausalLM",
            "Gemma3ForConditionalGeneration",
            "Gemma3nForCausalLM",
            "Gemma3nForConditionalGeneration",
        ),
    ),
    Family(
        "Gemma 4",
        (
            "Gemma4ForCausalLM",
            "Gemma4ForConditionalGeneration",
            "Gemma4UnifiedForConditionalGeneration",
        ),
        Parsers(tool="gemma4", reasoning="gemma4"),
    ),
    Family("DeepSeek V2", ("DeepseekV2ForCausalLM",), has_transformers=False),
    Family(
        "DeepSeek V3",
        ("DeepseekV3ForCausalLM",),
        Parsers(tool="deepseek_v3", reasoning="deepseek_v3"),
        has_transformers=False,
    ),
    Family(
        "DeepSeek V3.2",
        ("DeepseekV32ForCausalLM",),
        Parsers(tool="deepseek_v32", reasoning="deepseek_v3"),
        has_transformers=False,
        arguments=(("tokenizer-mode", "deepseek_v32"),),
    ),
    Family(
        "DeepSeek V4",
        ("DeepseekV4ForCausalLM",),
        Parsers(tool="deepseek_v4", reasoning="deepseek_v4"),
        has_transformers=False,
        arguments=(("tokenizer-mode", "deepseek_v4"), ("kv-cache-dtype", "fp8")),
    ),
    Family(
        "gpt-oss",
        ("GptOssForCausalLM",),
        Parsers(tool="openai", reasoning="openai_gptoss"),
    ),
    Family(
        "GPT",
        (
            "GPT2LMHeadModel",
            "GPTBigCodeForCausalLM",
            "GPTJForCausalLM",
            "GPTNeoXForCausalLM",
            "OPTForCausalLM",
            "BloomForCausalLM",
        ),
    ),
    Family("Falcon", ("FalconForCausalLM",)),
    Family("Falcon H1", ("FalconH1ForCausalLM",), has_transformers=False),
    Family(
        "Granite",
        ("GraniteForCausalLM", "GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"),
        Parsers(tool="granite"),
    ),
    Family(
        "Granite 4",
        ("GraniteMoeHybridForCausalLM",),
        Parsers(tool="granite4"),
        has_transformers=False,
    ),
    Family("Cohere", ("CohereForCausalLM", "Cohere2ForCausalLM")),
    Family("OLMo", ("OlmoForCausalLM", "Olmo2ForCausalLM", "OlmoeForCausalLM")),
    Family("OLMo 3", ("Olmo3ForCausalLM",), Parsers(tool="olmo3", reasoning="olmo3")),
    Family("GLM", ("GlmForCausalLM", "Glm4ForCausalLM")),
    Family(
        "GLM 4.5",
        ("Glm4MoeForCausalLM", "Glm4vMoeForConditionalGeneration"),
        Parsers(tool="glm45", reasoning="glm45"),
    ),
    Family(
        "GLM 5",
        ("GlmMoeDsaForCausalLM",),
        Parsers(tool="glm47", reasoning="glm45"),
        has_transformers=False,
    ),
    Family("Nemotron", ("NemotronForCausalLM",)),
    Family(
        "Nemotron H",
        ("NemotronHForCausalLM",),
        Parsers(tool="qwen3_coder", reasoning="nemotron_v3"),
        has_transformers=False,
    ),
    Family("Jamba", ("JambaForCausalLM",), Parsers(tool="jamba"), has_transformers=False),
    Family("Zamba 2", ("Zamba2ForCausalLM",), has_transformers=False),
    Family(
        "LFM 2",
        ("Lfm2ForCausalLM", "Lfm2MoeForCausalLM"),
        Parsers(tool="lfm2"),
        has_transformers=False,
    ),
    Family(
        "MiniMax M2",
        ("MiniMaxM2ForCausalLM",),
        Parsers(tool="minimax_m2", reasoning="minimax_m2_append_think"),
        has_transformers=False,
        arguments=(("enable-expert-parallel", True),),
    ),
    Family("Apertus", ("ApertusForCausalLM",), Parsers(tool="apertus")),
    Family("Arcee", ("ArceeForCausalLM",)),
    Family("DBRX", ("DbrxForCausalLM",), has_transformers=False),
    Family(
        "ERNIE 4.5",
        ("Ernie4_5ForCausalLM", "Ernie4_5_MoeForCausalLM"),
        Parsers(reasoning="ernie45"),
    ),
    Family("EXAONE 4", ("Exaone4ForCausalLM",)),
    Family("HunYuan", ("HunYuanDenseV1ForCausalLM", "HunYuanMoEV1ForCausalLM")),
    Family("Seed-OSS", ("SeedOssForCausalLM",), Parsers(tool="seed_oss")),
    Family("SmolLM 3", ("SmolLM3ForCausalLM",)),
    Family("StableLM", ("StableLmForCausalLM",)),
    Family("StarCoder 2", ("Starcoder2ForCausalLM",)),
    Family(
        "LLaVA and kin",
        (
            "LlavaForConditionalGeneration",
            "LlavaNextForConditionalGeneration",
            "InternVLForConditionalGeneration",
            "Idefics3ForConditionalGeneration",
            "SmolVLMForConditionalGeneration",
        ),
    ),
)

BY_ARCHITECTURE: Final = {
    architecture: family for family in FAMILIES for architecture in family.architectures
}

_BY_NAME: Final = (
    ("deepseek-r1", Parsers("deepseek_v3", "deepseek_r1")),
    ("deepseek-r1-distill", Parsers("", "deepseek_r1")),
    ("deepseek-v3-0324", Parsers("deepseek_v3")),
    ("deepseek-v3.1", Parsers("deepseek_v31", "deepseek_v3")),
    ("ernie-4.5", Parsers("ernie45", "ernie45")),
    ("functiongemma", Parsers("functiongemma")),
    ("glm-4.7", Parsers("glm47", "glm45")),
    ("granite-3.2", Parsers("granite", "granite")),
    ("granite-4", Parsers("granite4", "granite")),
    ("hermes-2", Parsers("hermes")),
    ("hermes-3", Parsers("hermes")),
    ("hunyuan-a13b", Parsers("hunyuan_a13b", "hunyuan_a13b")),
    ("llama-3", Parsers("llama3_json")),
    ("llama-xlam", Parsers("xlam")),
    ("magistral", Parsers("mistral", "mistral")),
    ("meta-llama-3", Parsers("llama3_json")),
    ("ministral", Parsers("mistral")),
    ("mistral", Parsers("mistral")),
    ("mistral-medium-3.5", Parsers("mistral", "mistral")),
    ("mistral-small-4", Parsers("mistral", "mistral")),
    ("mixtral", Parsers("mistral")),
    ("phi-4-mini", Parsers("phi4_mini_json")),
    ("qwen3-coder", Parsers("qwen3_xml")),
    ("qwq-32b", Parsers("hermes", "deepseek_r1")),
    ("xlam", Parsers("xlam")),
)
"""By how a repository's name begins; the longest beginning wins, and wins over the family. Models
that were trained on from another keep its architecture and not its way of writing."""


def parsers_of(architecture: str, model_id: str) -> Parsers:
    """Return the parsers for a model; none for an architecture that is not known."""
    name = model_id.rpartition("/")[2].casefold()
    named = [(len(start), parsers) for start, parsers in _BY_NAME if name.startswith(start)]
    if named:
        return max(named, key=lambda pair: pair[0])[1]
    family = BY_ARCHITECTURE.get(architecture)
    return family.parsers if family is not None else Parsers()


def family_names() -> str:
    """Return the supported families as a sentence's part."""
    return ", ".join(family.name for family in FAMILIES)


WRITES_NO_TEXT: Final = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForFeatureExtraction",
    "ForImageClassification",
    "ForAudioClassification",
    "ForCTC",
    "ForRewardModel",
)
"""How names of architectures end that encode, classify or judge. GPT2LMHeadModel is the exception,
and is asked for before these."""

QUANTIZATIONS: Final = frozenset(
    {
        "auto-round",
        "awq",
        "bitsandbytes",
        "compressed-tensors",
        "experts_int8",
        "fbgemm_fp8",
        "fp8",
        "gptq",
        "modelopt",
        "modelopt_fp4",
        "mxfp4",
        "quark",
        "torchao",
    }
)
"""Values of `quant_method` that vLLM reads."""
