#!/bin/bash
# Runs the fuzzers that protopage_fuzz_test (tools/fuzz.bzl) declares, one after the other, each
# until its time is over or it finds an input that fails. Exits with 1 if one did.
#
#   tools/fuzz.sh [--seconds=N] [NAME...]     60 s each; default: all of them
#
# Inputs that reach new code are kept in ~/.cache/protopage/fuzz, and the next run begins with them.
# An input that fails stays there as well, until it is removed: mend the program, and move the input
# to the fuzzer's corpus in the repository. With BAZEL_OUTPUT_BASE set, two runs can go on
# concurrently.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=60
names=()
for argument in "$@"; do
  case "${argument}" in
    --seconds=*) seconds="${argument#*=}" ;;
    -*)
      echo "usage: tools/fuzz.sh [--seconds=N] [NAME...]" >&2
      exit 2
      ;;
    *) names+=("${argument}") ;;
  esac
done

# An output base of its own, as another compiler would build everything in the usual one anew.
if [[ -z "${BAZEL_OUTPUT_BASE:-}" ]]; then
  BAZEL_OUTPUT_BASE="$(./bazelw info output_base 2> /dev/null)_fuzz"
  export BAZEL_OUTPUT_BASE
fi
mapfile -t targets < <(./bazelw query --noshow_progress --ui_event_filters=-info \
  'attr(tags, "\bfuzzer\b", //...)')
chosen=()
for target in "${targets[@]}"; do
  name="${target#*:}"
  if ((${#names[@]} == 0)) || [[ " ${names[*]} " == *" ${name%_run} "* ]]; then
    chosen+=("${target}")
  fi
done
if ((${#chosen[@]} == 0 || (${#names[@]} && ${#chosen[@]} != ${#names[@]}))); then
  echo "fuzz.sh: no such fuzzer; there are:" >&2
  printf '  %s\n' "${targets[@]##*:}" | sed 's/_run$//' >&2
  exit 2
fi
./bazelw build --config=ci --config=fuzz "${chosen[@]}"

# Files of the fuzz functions, in memory where that can be.
scratch="$(mktemp -d -p "$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp)")"
trap 'rm -rf "${scratch}"' EXIT
export TMPDIR="${scratch}"
# Less memory freed late, which is slow.
export ASAN_OPTIONS=quarantine_size_mb=8:malloc_context_size=8

found=0
for target in "${chosen[@]}"; do
  package="${target%:*}"
  name="${target#*:}"
  name="${name%_run}"
  kept="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/protopage/fuzz/${name}"
  mkdir -p "${kept}/inputs" "${kept}/findings"
  ./bazelw run --config=ci --config=fuzz --script_path="${scratch}/run" "${target}" \
    > "${kept}/log" 2>&1
  status=0
  "${scratch}/run" -max_total_time="${seconds}" -timeout=10 -rss_limit_mb=2048 -detect_leaks=0 \
    -print_final_stats=1 -print_funcs=0 -artifact_prefix="${kept}/findings/" "${kept}/inputs" \
    "${PWD}/${package#//}/${name}.corpus" > "${kept}/log" 2>&1 || status=$?
  executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "${kept}/log" | tail -n 1)"
  edges="$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "${kept}/log" | tail -n 1)"
  findings="$(find "${kept}/findings" -type f | wc -l)"
  echo "${name}: ${executions:-0} executions, ${edges:-0} edges, ${findings} findings"
  if ((status != 0 || findings > 0)); then
    found=1
    echo "  FAILED: see ${kept}/log and ${kept}/findings"
  fi
done
exit "${found}"
