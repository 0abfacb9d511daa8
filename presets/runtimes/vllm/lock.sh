#!/usr/bin/env bash
# Resolves requirements-cpu.in: exact pins with hashes, no index addresses. Needs `uv` on PATH.
# NVIDIA's libraries are left out but for the CUDA run-time, a small one that says "no driver";
# onebox/images/torch_cpu.py makes stand-ins for the others, which a CPU never calls.
set -euo pipefail
cd "$(dirname "$0")"

leave_out=(
  triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc
  nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
)
uv pip compile requirements-cpu.in --override overrides-cpu.txt --output-file requirements-cpu.txt \
  --python-version 3.11 --python-platform x86_64-manylinux_2_36 --only-binary :all: \
  --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --quiet \
  "${leave_out[@]/#/--no-emit-package=}"
