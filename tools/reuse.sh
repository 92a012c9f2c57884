#!/bin/bash
# Builds and tests tests/reuse, a workspace of its own that depends on single
# modules of this one.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# A base of its own beside the one that the caller chose.
if [[ -n "${BAZEL_OUTPUT_BASE:-}" ]]; then
  export BAZEL_OUTPUT_BASE="${BAZEL_OUTPUT_BASE}_reuse"
fi
cd "${root}/tests/reuse"
exec "${root}/bazelw" test "$@" //eval/... //model/...
