"""What a model server says when it ends, in plain words and with what to do about it.

The last lines of a container's log come with its status (terminationMessagePolicy). A row of the
table below recognises a cause in them. Some causes give the same end whenever the same program
starts again with the same flags: those are `final`, and the first crash is enough to say so. The
others may pass by themselves, so the caller waits for a second crash.

    words of the log  ->  `recognise`   the row: what happened, what to do, whether it is final
                      ->  `last_words`  the lines themselves, without the furniture of a traceback
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_LAST_WORDS_CHARACTERS: Final = 300
"""A condition may hold 1024 characters, and what happened and what to do must fit in as well."""


@dataclass(frozen=True)
class RuntimeMessage:
    """One cause that can be told from what a program said last."""

    sentence: str
    """What happened."""
    remedy: str
    """What to do, as a clause that follows a semicolon."""
    is_final: bool = True
    """Whether starting again can't help."""

    def __str__(self) -> str:
        """Return both, as they go into a condition's message."""
        return f"{self.sentence}; {self.remedy}"


def recognise(message: str) -> RuntimeMessage | None:
    """Return the cause that a container's last words tell, or None when no row knows them."""
    words = " ".join(message.split())
    for pattern, row in _TABLE:
        if found := pattern.search(words):
            groups = {name: text or "?" for name, text in found.groupdict().items()}
            return RuntimeMessage(
                row.sentence.format(**groups), row.remedy.format(**groups), row.is_final
            )
    return None


def last_words(message: str) -> str:
    """Return the end of a log in one line: what was said, not where in which file."""
    lines = list(_telling_lines(message))
    words = " ".join(" ".join(lines or [message]).split())
    if len(words) <= MAX_LAST_WORDS_CHARACTERS:
        return words
    # The end of a log says why a program stopped; its beginning says hello.
    return "…" + words[1 - MAX_LAST_WORDS_CHARACTERS :]


# vLLM puts its process, the level, the time and the place in the code before each line.
_PREFIX: Final = re.compile(
    r"^(?:\([\w-]+(?: [\w=]+)* pid=\d+\) ?)?"
    r"(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):? +(?:[\d-]+ [\d:,]+ )?(?:\[[^\]]*\] ?)?)?"
)
_FURNITURE: Final = re.compile(
    r"Traceback \(most recent call last\)|  File \"|    |[\s~^]*$|frame #\d+"
    r"|The above exception was|During handling of the above|    ?For further information visit"
    r"|Process \S+:$"
)


def _telling_lines(message: str) -> Iterator[str]:
    earlier = ""
    for line in message.splitlines():
        said = _PREFIX.sub("", line)
        if not _FURNITURE.match(said) and said != earlier:
            earlier = said
            yield said


_CONFIG: Final = "inference.config"

# Order matters: the first row that fits speaks, so what says more comes first. Each row has a test
# with words that a program really said, and the test names where.
_ROWS: Final[tuple[tuple[str, RuntimeMessage], ...]] = (
    # --- Weights and adapters --------------------------------------------------------------------
    (
        r"pull_oci: .*refuses to give",
        RuntimeMessage(
            "the registry does not let the puller in",
            "check imagePullSecrets and the rights at the registry",
        ),
    ),
    (
        r"pull_oci: .*(?:push it|push one|put the files there)",
        RuntimeMessage(
            "the registry does not have the weights or the adapter as they should be",
            "do what the last words say, or correct the reference",
        ),
    ),
    # --- Flags and settings ----------------------------------------------------------------------
    (
        (
            r"max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len "
            r"\(\S*?=(?P<longest>\d+)"
        ),
        RuntimeMessage(
            "max-model-len {asked} is more than the model's own {longest}",
            f"set max-model-len to at most {{longest}} in {_CONFIG}",
        ),
    ),
    (
        (
            r"max seq len \((?P<length>\d+)\).{0,200}larger than the (?:available|maximum)"
            r" .{0,200}estimated maximum model length is (?P<fits>\d+)"
        ),
        RuntimeMessage(
            "the KV cache has no room for one request of {length} tokens; {fits} would fit",
            f"set max-model-len to at most {{fits}} or raise gpu-memory-utilization in {_CONFIG}",
        ),
    ),
    (
        r"max seq len \((?P<length>\d+)\).{0,200}larger than the (?:available KV|maximum number)",
        RuntimeMessage(
            "the KV cache has no room for one request of {length} tokens",
            f"lower max-model-len or raise gpu-memory-utilization in {_CONFIG}, or choose a "
            "instance type",
        ),
    ),
    (
        r"No available memory for the cache blocks",
        RuntimeMessage(
            "the weights leave no GPU memory for the KV cache",
            f"raise gpu-memory-utilization in {_CONFIG}, or choose a larger instance type",
        ),
    ),
    (
        r"Free memory on device .{0,120}is less than desired GPU memory utilization",
        RuntimeMessage(
            "another process holds part of the GPU's memory",
            "see what else runs on the node (nvidia-smi), or lower gpu-memory-utilization in "
            f"{_CONFIG}",
            # A server that ended a moment ago gives its memory back late.
            is_final=False,
        ),
    ),
    (
        r"unrecognized arguments?: (?P<flag>\S+)",
        RuntimeMessage(
            "the model server does not know {flag}",
            f"remove it from {_CONFIG}, or correct its name",
        ),
    ),
    (
        r"error: argument (?P<flag>[^:]+): (?:invalid|expected)",
        RuntimeMessage(
            "the model server can't read the value of {flag}",
            f"correct it in {_CONFIG}",
        ),
    ),
    (
        r"Bfloat16 is only supported on GPUs with compute capability of at least",
        RuntimeMessage(
            "the GPU can't compute in bfloat16",
            f"set dtype: half in {_CONFIG}, or choose an instance type with newer GPUs",
        ),
    ),
    (
        (
            r"[Tt]otal number of attention heads \((?P<heads>\d+)\) must be divisible by "
            r"tensor parallel size \((?P<size>\d+)\)"
        ),
        RuntimeMessage(
            "{heads} attention heads can't be split over {size} GPUs",
            "choose an instance type with another number of GPUs, or set tensor-parallel-size in "
            f"{_CONFIG}",
        ),
    ),
    (
        r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank",
        RuntimeMessage(
            "an adapter has rank {rank}, more than the server was started for",
            f"set max-lora-rank to {{rank}} or more in {_CONFIG}",
        ),
    ),
    # --- The model -------------------------------------------------------------------------------
    (
        r"gated repo|GatedRepoError|Access to model \S+ is restricted",
        RuntimeMessage(
            "the model is gated, and its hub does not let this token in",
            "accept the model's licence at the hub and name a Secret with HF_TOKEN in "
            "presetOptions.modelAccessSecret",
        ),
    ),
    (
        r"\b40[13] Client Error|Invalid credentials in Authorization header",
        RuntimeMessage(
            "the model hub refuses the token",
            "check HF_TOKEN in the Secret that presetOptions.modelAccessSecret names",
        ),
    ),
    (
        r"RepositoryNotFoundError|is not a local folder and is not a valid model identifier",
        RuntimeMessage(
            "the model hub has no such model",
            "correct inference.preset.name, or give a token that may see it",
        ),
    ),
    (
        r"Model architectures (?P<names>\[[^\]]*\]) (?:are not supported|failed to be inspected)",
        RuntimeMessage(
            "this version of vLLM can't run {names}",
            "choose a preset that the catalogue lists, or the transformers runtime by the "
            "annotation kaito.sh/runtime",
        ),
    ),
    (
        r"trust_remote_code=True|contains custom code which must be executed",
        RuntimeMessage(
            "the model brings code of its own, and that is not allowed",
            f"set trust-remote-code: true in {_CONFIG} if you trust its authors",
        ),
    ),
    (
        r"SafetensorError|Error while deserializing header|InvalidHeaderDeserialization",
        RuntimeMessage(
            "a file of weights is damaged or incomplete",
            "fetch the weights anew: send the signal `retry`; if it stays, push them again",
            is_final=False,
        ),
    ),
    # --- GPUs ------------------------------------------------------------------------------------
    (
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory",
        RuntimeMessage(
            "the GPU's memory is not enough",
            f"lower max-model-len, max-num-seqs or gpu-memory-utilization in {_CONFIG}, or choose "
            "a larger instance type",
        ),
    ),
    (
        r"no kernel image is available for execution",
        RuntimeMessage(
            "the image has no code for this kind of GPU",
            "choose an instance type with a GPU that the runtime supports",
        ),
    ),
    (
        (
            r"driver (?:on your system )?is too old|driver version is insufficient"
            r"|forward compatibility was attempted"
        ),
        RuntimeMessage(
            "the node's NVIDIA driver is too old for the image's CUDA",
            "renew the driver (on AKS: a newer node image), or use an image for an older CUDA",
        ),
    ),
    (
        (
            r"Found no NVIDIA driver|No CUDA GPUs are available|Failed to infer device type"
            r"|no CUDA-capable device|libcuda\.so\.1: cannot open"
        ),
        RuntimeMessage(
            "the container sees no GPU",
            "check the NVIDIA device plugin and the driver on the node",
            is_final=False,
        ),
    ),
    (
        r"device-side assert triggered",
        RuntimeMessage(
            "a computation on the GPU met a value that it can't have",
            "most often tokenizer and weights do not belong together, or an adapter is of another "
            "model: check both",
            is_final=False,
        ),
    ),
    (
        (
            r"uncorrectable ECC error|GPU has fallen off the bus|\bXid\b|unspecified launch failure"
            r"|hardware stack error"
        ),
        RuntimeMessage(
            "the GPU itself failed",
            "look for Xid in the node's kernel log and replace the node: delete its NodeClaim",
            is_final=False,
        ),
    ),
    (
        r"illegal memory access",
        RuntimeMessage(
            "a program on the GPU reached for memory that is not its own",
            f"try enforce-eager: true in {_CONFIG}; if other models fail there too, replace the "
            "node",
            is_final=False,
        ),
    ),
    (
        r"collective operation timeout|NCCL (?:error|WARN)|ncclUnhandledCudaError|DistBackendError",
        RuntimeMessage(
            "the GPUs can't talk to each other",
            "check the network between the nodes and /dev/shm of the pods; NCCL_DEBUG=INFO in the "
            "container tells more",
            is_final=False,
        ),
    ),
    # --- The container ---------------------------------------------------------------------------
    (
        (
            r"executable file not found|exec format error"
            r"|can't open file '(?P<file>[^']+)': \[Errno 2\]"
        ),
        RuntimeMessage(
            "the image does not hold the program that is to run, or it is for another kind of CPU",
            "use an image that is built as this runtime expects",
        ),
    ),
    (
        r"No space left on device",
        RuntimeMessage(
            "a disk is full",
            "choose an instance type with a larger disk, or give the model a volume",
            is_final=False,
        ),
    ),
    (
        r"Address already in use|port \d+ is taken",
        RuntimeMessage(
            "the port is taken",
            f"remove port from {_CONFIG}",
            is_final=False,
        ),
    ),
    # --- What is left: mistakes that a program makes again in the same way ------------------------
    (
        r"inference_api: (?!the engine)",
        RuntimeMessage(
            "the model server refuses what it was given",
            f"correct {_CONFIG} or the flags that its last words name",
        ),
    ),
    (
        r"Engine core initialization failed",
        RuntimeMessage(
            "the engine did not start, and its own words are further up in the log",
            "read them with kubectl logs --previous",
            is_final=False,
        ),
    ),
    (
        (
            r"\b(?P<kind>ValidationError|ValueError|TypeError|KeyError|AttributeError"
            r"|NotImplementedError|ImportError|ModuleNotFoundError|SyntaxError)\b: "
        ),
        RuntimeMessage(
            "the program stopped at a {kind}, which it will meet again",
            f"correct what the last words name, most often in {_CONFIG}",
        ),
    ),
)
_TABLE: Final = tuple((re.compile(pattern), row) for pattern, row in _ROWS)
