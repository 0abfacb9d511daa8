#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/*.txt: exact pins with hashes, no index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
compile() {
  .venv/bin/uv pip compile --quiet pyproject.toml --generate-hashes --no-header --upgrade \
    --no-emit-index-url --no-emit-find-links --python-version 3.11 "$@"
}
compile --output-file requirements/worker.txt
compile --extra dev --extra onebox --output-file requirements/dev.txt
