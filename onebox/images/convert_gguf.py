"""Turns a GGUF file into a Hugging Face model folder. Runs inside the runtime image, not here.

python3 convert_gguf.py SOURCE.gguf FOLDER
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path


def convert(source: Path, folder: Path) -> None:
    """Write model, tokenizer and chat template as bfloat16 safetensors and JSON."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    if not tokenizer.chat_template:
        raise SystemExit(f"{source} carries no chat template; chat completions would fail")
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model = model.to(torch.bfloat16)
    # A quantisation entry would make a server look for packed weights that are no longer there.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
