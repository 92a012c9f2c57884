#!/bin/bash
# Builds //... with --config=cuda and the given options, if there is a CUDA toolkit. Exit status 77:
# there is none, and nothing was built.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# The same search as in third_party/cuda_repository.bzl.
if [[ -n "${CUDA_HOME:-}" ]]; then
  nvcc="${CUDA_HOME}/bin/nvcc"
else
  nvcc=/usr/local/cuda/bin/nvcc
  if [[ ! -x "${nvcc}" ]]; then
    nvcc="$(command -v nvcc || true)"
  fi
fi
if [[ ! -x "${nvcc}" ]]; then
  echo "skipped: no CUDA toolkit"
  exit 77
fi
exec ./bazelw build --config=cuda "$@" //...
