#!/usr/bin/env bash
# Rewrites NannyML's lock file from its requirements: hashes, no addresses, for Python 3.11. Needs `uv`.
# `lock.sh --upgrade` takes newer releases of what is not pinned.
set -euo pipefail
cd "$(dirname "$0")"
uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet "$@" \
  requirements.in -o requirements.lock
