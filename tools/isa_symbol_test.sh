#!/bin/bash
# isa_symbol_test.sh ARCHIVE MANGLED [ARCHIVE MANGLED ...]
#
# Each archive may define global symbols only in the namespace of its
# instruction set, whose mangled name is given, and must define some. See
# protopage_isa_library in tools/defs.bzl.

set -euo pipefail

failed=0
while [[ $# -gt 0 ]]; do
  archive="$1"
  mangled="$2"
  shift 2
  # Weak definitions count; they are what the linker would merge.
  symbols="$(nm --extern-only --defined-only --format=posix "${archive}" |
    awk 'NF > 2 { print $1 }')"
  if [[ -z "${symbols}" ]]; then
    echo "FAILED: ${archive} defines nothing" >&2
    failed=1
  fi
  foreign="$(grep -v "^_ZN.*${mangled}" <<< "${symbols}" || true)"
  if [[ -n "${foreign}" ]]; then
    echo "FAILED: ${archive} shares symbols with other instruction sets:" >&2
    c++filt <<< "${foreign}" >&2
    failed=1
  fi
done
exit "${failed}"
