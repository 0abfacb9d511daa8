#!/usr/bin/env bash
# Resolves requirements-cpu.in: exact pins with hashes, no index addresses. Needs `uv` on PATH.
#
# NVIDIA's libraries are left out but for the CUDA run-time, a small one that says "no driver";
# onebox/images/torch_cpu.py makes stand-ins for the others, which a CPU never calls. Hashes are kept
# for the wheels of Linux x86-64 only: 146 lines instead of 4,000.
set -euo pipefail
cd "$(dirname "$0")"

leave_out=(
  triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc
  nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
  # A fifth of the image; vLLM imports them for videos and for n-gram speculation, and says so.
  opencv-python-headless numba llvmlite
  # Six thousand files that nothing in vLLM imports.
  anthropic docstring-parser
)
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
uv pip compile requirements-cpu.in --override overrides-cpu.txt --output-file "$wheels/all.txt" \
  --python-version 3.11 --python-platform x86_64-manylinux_2_36 --only-binary :all: \
  --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --quiet \
  "${leave_out[@]/#/--no-emit-package=}"
cd ../../..
python3 - "$wheels/all.txt" "$wheels/found" presets/runtimes/vllm/requirements-cpu.txt <<'PY'
import hashlib, re, sys
from pathlib import Path
from onebox.images.wheels import download

resolved, folder, target = map(Path, sys.argv[1:])
download(resolved, folder)
hashes = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in folder.glob("*.whl")}
lines = []
for block in re.split(r"\n(?=\S)", resolved.read_text().strip()):
    kept = [h for h in re.findall(r"sha256:([0-9a-f]{64})", block) if h in hashes]
    lines.append(f"{block.split()[0]} " + " ".join(f"--hash=sha256:{h}" for h in kept))
target.write_text("\n".join(lines) + "\n")
PY
