#!/bin/bash
# Builds and tests tests/reuse, a workspace that depends on this one and owns headers of the same
# names.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Another output base than this workspace's, if the caller chose that.
if [[ -n "${BAZEL_OUTPUT_BASE:-}" ]]; then
  export BAZEL_OUTPUT_BASE="${BAZEL_OUTPUT_BASE}_reuse"
fi
cd "${root}/tests/reuse"
exec "${root}/bazelw" test "$@" //...
