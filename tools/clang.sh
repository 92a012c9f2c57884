#!/bin/bash
# Checks all of our C++ with clang's warnings, thread safety included; each is an error. Builds
# nothing.
#
#   tools/clang.sh [OPTION...] [TARGET...]     options of bazel; default: all targets, manual ones too

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=()
targets=()
for argument in "$@"; do
  if [[ "${argument}" == -* ]]; then
    options+=("${argument}")
  else
    targets+=("${argument}")
  fi
done
if ((${#targets[@]} == 0)); then
  # Benchmarks are "manual", which //... leaves out.
  manual="$(./bazelw query --noshow_progress --ui_event_filters=-info \
    'attr(tags, "\bmanual\b", kind("cc_.* rule", //...))')"
  mapfile -t targets <<< "${manual}"
  targets+=(//...)
fi
exec ./bazelw build --keep_going --aspects=//tools:clang.bzl%clang_warnings \
  --output_groups=clang_warnings "${options[@]}" "${targets[@]}"
