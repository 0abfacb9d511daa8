"""The end of a log in plain words: each row of the table by what a program really said."""

# ruff: noqa: E501 - words of logs are shown as they are

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import MAX_MESSAGE_CHARACTERS
from planner import runtime_messages
from planner.runtime_messages import MAX_LAST_WORDS_CHARACTERS, last_words, recognise

NO_BLOCK_SIZE = """\
(EngineCore pid=16) ERROR 11-25 14:16:36 [core.py:1510]     raise ValueError(
(EngineCore pid=16) ERROR 11-25 14:16:36 [core.py:1510] ValueError: No common block size for 7 (CPU_ATTN: [MultipleOf(32)]).
Traceback (most recent call last):
  File "/usr/local/lib/python3.11/dist-packages/vllm/v1/engine/core.py", line 1487, in run
    engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    raise ValueError(
ValueError: No common block size for 7 (CPU_ATTN: [MultipleOf(32)]).
"""

# Words, what the sentence or remedy must hold, whether one crash is enough.
# Sources: "ran" = vLLM 0.32 on this project's CPU image (2026-11); "vLLM 0.32" = the text in that file;
# else the issue in which somebody shows it.
SAID: tuple[tuple[str, str, bool], ...] = (
    # ran
    ("inference_api: `vllm.max-modl-len` is no setting of vLLM", "correct inference.config", True),
    # presets/runtimes/weights/pull_oci.py
    (
        "pull_oci: r:5000 refuses to give r:5000/x:1: no credentials given; name a pull secret",
        "imagePullSecrets",
        True,
    ),
    ("pull_oci: no such reference r:5000/x:1; push it or correct the name", "registry", True),
    ("pull_oci: r:5000/x:1 has no folder /data; put the files there", "registry", True),
    # ran
    (
        (
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, User-specified max_model_len (100000) is greater than the derived "
            "max_model_len (max_position_embeddings=8192.0 or model_max_length=None in model's "
            "config.json)."
        ),
        "at most 8192",
        True,
    ),
    # vLLM 0.32, v1/core/kv_cache_utils.py
    (
        (
            "ValueError: To serve at least one request with the model's max seq len (131072), (16.00 "
            "GiB KV cache is needed, which is larger than the available KV cache memory (7.21 GiB). "
            "Based on the available memory, the estimated maximum model length is 59072. Try "
            "increasing `gpu_memory_utilization`"
        ),
        "set max-model-len to at most 59072 or raise gpu-memory-utilization",
        True,
    ),
    # issue vllm-project/vllm#2418
    (
        (
            "ValueError: The model's max seq len (4096) is larger than the maximum number of tokens "
            "that can be stored in KV cache (3664). Try increasing `gpu_memory_utilization`"
        ),
        "lower max-model-len or raise gpu-memory-utilization",
        True,
    ),
    # vLLM 0.32, v1/core/kv_cache_utils.py
    (
        (
            "ValueError: No available memory for the cache blocks. Try increasing "
            "`gpu_memory_utilization` when initializing the engine"
        ),
        "raise gpu-memory-utilization",
        True,
    ),
    # issue vllm-project/vllm#25837
    (
        (
            "ValueError: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU "
            "memory utilization (0.9, 3.6 GiB). Decrease GPU memory utilization"
        ),
        "another process",
        False,
    ),
    # argparse, as vLLM's server of upstream's images says it
    (
        "api_server.py: error: unrecognized arguments: --swap-space=4",
        "does not know --swap-space=4",
        True,
    ),
    (
        "api_server.py: error: argument --max-model-len: invalid human_readable_int value: 'many'",
        "the value of --max-model-len",
        True,
    ),
    # issue vllm-project/vllm#1157
    (
        (
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. "
            "Your Tesla T4 GPU has compute capability 7.5."
        ),
        "dtype: half",
        True,
    ),
    # vLLM 0.32, config/model.py
    (
        (
            "Value error, Total number of attention heads (9) must be divisible by tensor parallel "
            "size (2)."
        ),
        "9 attention heads can't be split over 2 GPUs",
        True,
    ),
    # vLLM 0.32, lora/peft_helper.py
    ("ValueError: LoRA rank 64 is greater than max_lora_rank 16.", "max-lora-rank to 64", True),
    # sgl-project/sglang#14644, which shows the hub library's words
    (
        (
            "OSError: You are trying to access a gated repo.\nMake sure to have access to it at "
            "https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct.\n401 Client Error."
        ),
        "accept the model's licence",
        True,
    ),
    # issue vllm-project/vllm#8331
    (
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://hub/x",
        "HF_TOKEN",
        True,
    ),
    # huggingface_hub and transformers
    (
        (
            "OSError: x/y is not a local folder and is not a valid model identifier listed on "
            "'https://huggingface.co/models'"
        ),
        "correct inference.preset.name",
        True,
    ),
    # issue vllm-project/vllm#9713
    (
        "ValueError: Model architectures ['GlmForCausalLM'] are not supported for now.",
        "can't run ['GlmForCausalLM']",
        True,
    ),
    # transformers/dynamic_module_utils.py
    (
        (
            "ValueError: The repository x/y contains custom code which must be executed to correctly "
            "load the model. Please pass the argument `trust_remote_code=True` to allow it"
        ),
        "trust-remote-code: true",
        True,
    ),
    # the safetensors library
    (
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata",
        "fetch the weights anew",
        False,
    ),
    # issue vllm-project/vllm#19415
    (
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.02 GiB. GPU 0 has a total "
            "capacity of 21.98 GiB"
        ),
        "larger instance type",
        True,
    ),
    # PyTorch: c10/cuda/CUDAException.cpp with the driver's words
    (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "choose an instance type",
        True,
    ),
    # PyTorch says so in torch/cuda/__init__.py
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
        "renew the driver",
        True,
    ),
    (
        "RuntimeError: CUDA driver version is insufficient for CUDA runtime version",
        "renew the driver",
        True,
    ),
    ("RuntimeError: Found no NVIDIA driver on your system.", "device plugin", False),
    # vLLM says so in config/device.py
    ("RuntimeError: Failed to infer device type", "device plugin", False),
    ("RuntimeError: CUDA error: device-side assert triggered", "tokenizer and weights", False),
    # the kernel's and the driver's words
    (
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "delete its NodeClaim",
        False,
    ),
    ("NVRM: Xid (PCI:0000:00:1e.0): 79, GPU has fallen off the bus.", "Xid", False),
    ("RuntimeError: CUDA error: an illegal memory access was encountered", "enforce-eager", False),
    # issue vllm-project/vllm#8978 and #12625
    (
        (
            "[rank2]:[E1001 16:06:04.537 ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog caught collective "
            "operation timeout: WorkNCCL(SeqNum=1, OpType=ALLREDUCE, Timeout(ms)=600000)"
        ),
        "network between the nodes",
        False,
    ),
    (
        "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "NCCL_DEBUG=INFO",
        False,
    ),
    # containerd and runc
    (
        'exec: "python3": executable file not found in $PATH: unknown',
        "use an image that is built as this runtime expects",
        True,
    ),
    ("exec /bin/sh: exec format error", "another kind of CPU", True),
    (
        (
            "python3: can't open file '/workspace/vllm/inference_api.py': [Errno 2] No such file or "
            "directory"
        ),
        "does not hold the program",
        True,
    ),
    ("OSError: [Errno 28] No space left on device", "larger disk", False),
    ("OSError: [Errno 98] Address already in use", "remove port", False),
    # issue vllm-project/vllm#19002
    (
        (
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
            "proc(s): {}"
        ),
        "kubectl logs --previous",
        False,
    ),
    # ran
    (NO_BLOCK_SIZE, "a ValueError, which it will meet again", True),
)


@pytest.mark.parametrize(("words", "told", "is_final"), SAID, ids=lambda value: str(value)[:40])
def test_what_was_said_is_told_in_plain_words(words: str, told: str, is_final: bool) -> None:
    found = recognise(words)
    assert found is not None
    assert told in str(found)
    assert found.is_final is is_final


def test_every_row_has_words_of_its_own() -> None:
    spoken = set()
    for words, _, _ in SAID:
        flat = " ".join(words.split())
        rows = [row for pattern, row in runtime_messages._TABLE if pattern.search(flat)]
        spoken.add(rows[0].sentence)
    assert spoken == {row.sentence for _, row in runtime_messages._TABLE}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Killed",
        "ConnectionError: the peer is not up yet",
        "RuntimeError: something went wrong",
        "inference_api: the engine has died; its last words are above",
    ],
)
def test_what_nobody_knows_gets_no_explanation(words: str) -> None:
    assert recognise(words) is None


def test_a_traceback_loses_its_furniture_and_keeps_its_words() -> None:
    words = "ValueError: No common block size for 7 (CPU_ATTN: [MultipleOf(32)])."
    assert last_words(NO_BLOCK_SIZE) == words


def test_ordinary_lines_stay_as_they_are() -> None:
    assert last_words("starting\nno such model\n") == "starting no such model"


def test_a_log_of_nothing_but_furniture_is_shown_all_the_same() -> None:
    assert last_words('  File "x.py", line 3, in y') == 'File "x.py", line 3, in y'


def test_of_long_last_words_the_end_is_kept() -> None:
    words = last_words("starting\n" + "x" * 1000 + "\nCUDA error: out of memory")
    assert words.endswith("CUDA error: out of memory")
    assert len(words) == MAX_LAST_WORDS_CHARACTERS


@given(st.text(max_size=3000))
def test_any_text_gives_one_short_line(text: str) -> None:
    words = last_words(text)
    assert len(words) <= MAX_LAST_WORDS_CHARACTERS
    assert "\n" not in words
    found = recognise(text)
    assert found is None or len(str(found)) < MAX_MESSAGE_CHARACTERS - MAX_LAST_WORDS_CHARACTERS
