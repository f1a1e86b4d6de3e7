#!/usr/bin/env bash
# Rewrites the peers' lock files from their requirements: hashes, no addresses, Python 3.11 to 3.13. Needs `uv`.
# `lock.sh --upgrade` takes newer releases of what is not pinned.
set -euo pipefail
cd "$(dirname "$0")"
for wanted in */requirements.in; do
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
    --quiet "$@" same.in "$wanted" -o "${wanted%.in}.lock"
done
