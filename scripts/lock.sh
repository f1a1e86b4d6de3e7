#!/usr/bin/env bash
# Rewrites the three lock files from pyproject.toml: hashes, no addresses, Python 3.11 to 3.13.
# Needs `uv` (it is in the development environment). `scripts/lock.sh --upgrade` takes newer releases.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
    --quiet "$@" pyproject.toml
}
compile "$@" -o requirements.lock
compile "$@" --extra dev --constraint requirements.lock -o requirements-dev.lock
printf 'hatchling\neditables\n' |
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
    --quiet --constraint requirements-dev.lock -o requirements-build.lock -
