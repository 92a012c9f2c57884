#!/bin/bash
# The presubmit: what CI runs, and what to run before a commit.
#
#   tools/check.sh             formatting, header examples, layering, build, tests, clang's warnings,
#                              tests/reuse, races, the CUDA build
#   tools/check.sh --nightly   in addition tests tagged "nightly", long runs of the crash tests,
#                              fuzzers, sanitizers, the tests built by clang
#
# A failed step does not end the run; the last lines name each one that failed.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

nightly=0
case "${1:-}" in
  "") ;;
  --nightly) nightly=1 ;;
  *)
    echo "usage: tools/check.sh [--nightly]" >&2
    exit 2
    ;;
esac

failed=()
# step NAME COMMAND...: a command that exits with 77 was skipped.
step() {
  local name="$1" status=0
  shift
  echo "== ${name}"
  "$@" || status=$?
  if ((status != 0 && status != 77)); then
    failed+=("${name}")
  fi
}

# Installs the packages first, as the steps need clang-format.
./bazelw version > /dev/null 2>&1

step "formatting" tools/format.sh
step "header examples" python3 tools/header_examples.py
step "layering" tools/layering.sh
step "build" ./bazelw build --config=ci --keep_going //...
step "tests" ./bazelw test --config=ci //...
step "clang" tools/clang.sh --config=ci
step "reuse" tools/reuse.sh
step "races" tools/races.sh --config=ci
step "CUDA build" tools/cuda_build.sh --config=ci
if ((nightly)); then
  # Bazel exits with 4 where no test has the tag.
  tagged() {
    local status=0
    "$@" || status=$?
    ((status == 0 || status == 4))
  }
  step "nightly tests" tagged ./bazelw test --config=ci --test_tag_filters=nightly \
    --build_tests_only //...
  step "crash tests, every event" ./bazelw test --config=ci --test_timeout=7200 \
    --test_env=PROTOPAGE_CRASH_RUNS=all //trainer:training_crash_test
  step "crash tests, 20 seeds" ./bazelw test --config=ci --test_timeout=7200 \
    --test_env=PROTOPAGE_CRASH_RUNS=20 //prototypes:crash_test
  step "kill test, 200 runs" ./bazelw test --config=ci --test_timeout=7200 \
    --test_arg=--runs=200 //trainer:kill_test
  step "damage, every byte" ./bazelw test --config=ci --test_timeout=7200 \
    --test_env=PROTOPAGE_DAMAGE_RUNS=all //trainer:run_damage_test
  step "races, whole steps" tools/races.sh --all --config=ci
  step "fuzzers, 10 minutes each" tools/fuzz.sh --seconds=600
  output_base="$(./bazelw info output_base 2> /dev/null)"
  for config in asan ubsan tsan clang; do
    # Each in an output base of its own, so that none evicts the results of another.
    step "${config}" tagged env BAZEL_OUTPUT_BASE="${output_base}_${config}" \
      ./bazelw test --config=ci "--config=${config}" --keep_going //...
  done
fi

echo
if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all checks passed"
