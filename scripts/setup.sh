#!/usr/bin/env bash
# Makes .venv with exactly the packages of requirements/dev.txt; does nothing when it is current.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
pins=requirements/dev.txt
stamp=$venv/.installed

if [[ -f $stamp ]] && cmp -s "$pins" "$stamp"; then exit 0; fi

python=${PYTHON_FOR_VENV:-python3}
if ! command -v "$python" >/dev/null; then
  echo "setup: $python is not installed; install Python 3.11 or newer, then run make again" >&2
  exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "setup: $("$python" --version) is too old; install Python 3.11 or newer and name it:" >&2
  echo "       PYTHON_FOR_VENV=python3.12 make up" >&2
  exit 2
fi

started=$SECONDS
echo "setup: virtual environment"
if ! "$python" -m venv "$venv"; then
  echo "setup: the venv module is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2
  exit 2
fi
echo "setup: packages of $pins"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$pins"
# Console scripts of the project are not needed: everything runs as `python -m ...` from the tree.
cp "$pins" "$stamp"
echo "setup: done in $((SECONDS - started)) s"
