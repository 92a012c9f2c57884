#!/bin/bash
# Checks and measures the CUDA backend on this machine's GPU: run.sh of the bundle that
# tools/gpu_check.sh builds.
#
#   protopage_gpu_check/run.sh [RESULTS_FOLDER [PART...]]
#
# The default is gpu_check_results checks benchmarks peer. Parts:
#   checks        tests and short training runs
#   benchmarks    speed, compared to the ceilings of the GPU
#   peer          our training step in turns with that of PyTorch
#   sanitizer     compute-sanitizer on our kernels, if it is installed
# Each takes minutes. The results of parts that are run one by one in the same folder accumulate.
# Prints a table; results.json in the folder holds the same rows, next to a log of each check. Exit
# status 0 if every check passed, else 1; also 1 without a GPU. Environment:
#   PROTOPAGE_CUBLAS    the path of libcublas.so, if the search does not find it
#   PYTHON              a Python with PyTorch to compare to (default: python3)
#   PRECISIONS          the precisions to train and measure in (default: float32 tf32 bf16 fp16)
#   LIMIT_S             a limit in seconds for the whole run; what has no time left is skipped and
#                       counts as a failure (default: 3600)

set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
results="${1:-gpu_check_results}"
mkdir -p "${results}" || exit 1
results="$(cd "${results}" && pwd)"
bin="${here}/bin"
python="${PYTHON:-python3}"
precisions="${PRECISIONS:-float32 tf32 bf16 fp16}"
limit_s="${LIMIT_S:-3600}"

parts=("${@:2}")
if ((${#parts[@]} == 0)); then parts=(checks benchmarks peer); fi
for part in "${parts[@]}"; do
  case "${part}" in
    checks | benchmarks | peer | sanitizer) ;;
    *)
      echo "run.sh: part ${part}: checks, benchmarks, peer and sanitizer are known" >&2
      exit 2
      ;;
  esac
done

# Tests and compilers write to folders of their own.
scratch="${results}/scratch"
mkdir -p "${scratch}" || exit 1
export TEST_TMPDIR="${scratch}"
export TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-${scratch}/inductor}"
export TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-${scratch}/triton}"
# The search for cuBLAS includes the folders around the python3 on PATH.
if python_path="$(command -v "${python}")"; then PATH="$(dirname "${python_path}"):${PATH}"; fi

if ! device="$("${bin}/gpu_benchmark" --describe 2> "${results}/device.log")"; then
  echo "no GPU: nothing was checked: $(cat "${results}/device.log")" >&2
  exit 1
fi
if command -v nvidia-smi > /dev/null; then
  device+="; driver, clocks, power limit: $(nvidia-smi \
    --query-gpu=driver_version,clocks.sm,clocks.mem,power.limit --format=csv,noheader | head -n 1)"
fi

failed=0
# row NAME VALUE UNIT SHARE-OF-CEILING: adds a row to the results of the running part.
row() { printf '%s\t%s\t%s\t%s\n' "$@" >> "${results}/rows_${part}.tsv"; }

log_of() { echo "${results}/${1//[^A-Za-z0-9._-]/_}.log"; }

# limited NAME LIMIT-SECONDS COMMAND...: runs the command and kills it after the limit. Status 125
# if there is no time left.
limited() {
  local left=$((limit_s - SECONDS)) limit="$2"
  if ((left < 5)); then return 125; fi
  timeout -k 10 "$((limit < left ? limit : left))" "${@:3}"
}

# fail NAME STATUS: adds the row of a failure.
fail() {
  failed=1
  case "$2" in
    124 | 137) row "$1" FAILED "ran out of time; see $(log_of "$1")" - ;;
    125) row "$1" FAILED "no time left" - ;;
    *) row "$1" FAILED "see $(log_of "$1")" - ;;
  esac
}

# check NAME LIMIT-SECONDS COMMAND...
check() {
  local start="${SECONDS}" status=0
  echo "== $1" >&2
  limited "$@" > "$(log_of "$1")" 2>&1 || status=$?
  if ((status == 0)); then
    row "$1" passed "in $((SECONDS - start)) s" -
  else
    fail "$1" "${status}"
  fi
  return "${status}"
}

# Runs the cases of a GoogleTest in several processes: an error of the device affects only one.
sharded() {
  local shards=4 shard status=0 pids=()
  for ((shard = 0; shard < shards; ++shard)); do
    mkdir -p "${TEST_TMPDIR}/${shard}"
    TEST_TMPDIR="${TEST_TMPDIR}/${shard}" GTEST_TOTAL_SHARDS="${shards}" \
      GTEST_SHARD_INDEX="${shard}" "$@" &
    pids+=($!)
  done
  for shard in "${pids[@]}"; do wait "${shard}" || status=1; done
  return "${status}"
}

# A short training run, whose steps must be CUDA graphs.
training_run() {
  # A run directory must not exist.
  rm -rf "${scratch}/run"
  "${bin}/protopage" train "--config=${here}/train.json" "--out=${scratch}/run" \
    --set "precision=$1" 2>&1 | tee "${scratch}/run.log"
  local status="${PIPESTATUS[0]}"
  ((status == 0)) && ! grep "not CUDA graphs" "${scratch}/run.log"
}
# For timeout, which starts a new process.
export -f sharded training_run
export bin here scratch

# Adds the median rates of the training stages, which include everything that a run does: images,
# planning, rows.
training_rates() {
  local stage rate
  for stage in source dominant; do
    rate="$(grep '"kind":"step"' "${scratch}/run/metrics.jsonl" | grep "\"stage\":\"${stage}\"" |
      sed -n 's/.*"images_per_second":\([0-9.]*\).*/\1/p' | sort -g |
      awk '{ rates[NR] = $1 } END { if (NR) printf "%.4g", rates[int((NR + 1) / 2)] }')"
    if [[ -n "${rate}" ]]; then row "training run, stage ${stage}, $1" "${rate}" images/s -; fi
  done
}

# benchmark NAME COMMAND...: runs a command that prints rows; those before a failure are kept.
benchmark() {
  local status=0
  echo "== $1" >&2
  limited "$1" 240 "${@:2}" > "${scratch}/rows" 2> "$(log_of "$1")" || status=$?
  cat "${scratch}/rows" >> "${results}/rows_${part}.tsv"
  if ((status != 0)); then fail "$1" "${status}"; fi
}

checks() {
  check "products of cuBLAS" 120 "${bin}/cublas_test"
  check "sums of columns" 120 "${bin}/column_kernels_test"
  check "conformance" 300 bash -c 'sharded "${bin}/cuda_backend_test"'
  check "pinned training steps" 120 "${bin}/training_steps_test"
  check "parity with the CPU" 240 bash -c 'sharded "${bin}/cuda_parity_test"'
  check "stages of the trainer" 240 "${bin}/cuda_training_test"
  for precision in ${precisions}; do
    check "training run ${precision}" 180 bash -c "training_run ${precision}" &&
      training_rates "${precision}"
  done
}

benchmarks() {
  # Also with the methods of convolution that are not chosen.
  for precision in ${precisions}; do
    benchmark "benchmark ${precision}" "${bin}/gpu_benchmark" "--precision=${precision}"
    for convolutions in columns implicit; do
      benchmark "benchmark ${precision}, ${convolutions}" "${bin}/gpu_benchmark" \
        "--precision=${precision}" "--convolutions=${convolutions}"
    done
  done
  benchmark "rows" "${bin}/device_rows_benchmark" --device=cuda "--directory=${scratch}"
}

peer() {
  local probe="import torch
assert torch.cuda.is_available(), 'torch %s sees no GPU' % torch.__version__"
  if ! "${python}" -c "${probe}" 2> "$(log_of PyTorch)"; then
    row "PyTorch" skipped "$(tail -n 1 "$(log_of PyTorch)" | tr '\t' ' ')" -
    return
  fi
  for precision in ${precisions}; do
    benchmark "in turns with PyTorch, ${precision}" "${python}" "${here}/turns.py" \
      "--precision=${precision}" "${bin}/gpu_benchmark" "${here}/torch_peer.py"
  done
}

sanitizer() {
  local tool program
  program="$(command -v compute-sanitizer || true)"
  if [[ -z "${program}" && -x "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" ]]; then
    program="${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer"
  fi
  if [[ -z "${program}" ]]; then
    row "compute-sanitizer" skipped "not installed" -
    return
  fi
  # Only our kernels, not those of cuBLAS. One test makes cudaMalloc fail, which is not an error of
  # the program. The smallest tiles need too many launches.
  for tool in memcheck racecheck synccheck; do
    check "compute-sanitizer ${tool}" 900 "${program}" --tool "${tool}" --error-exitcode 1 \
      --report-api-errors no --kernel-name kns=protopage \
      "${bin}/cuda_backend_test" '--gtest_filter=-*small_tiles*:*tiniest_tiles*'
  done
}

# Writes a table and results.json of all parts that were ever run in this folder.
report() {
  local rows="${scratch}/all_rows" commit
  commit="$(cat "${here}/commit")"
  cat "${results}"/rows_*.tsv > "${rows}" 2> /dev/null
  echo
  echo "protopage ${commit} on ${device}"
  awk -F'\t' '{
    printf "%-70s %12s  %-12s%s\n", $1, $2, $3, ($4 == "-" ? "" : "  " $4 " % of the ceiling")
  }' "${rows}"
  awk -F'\t' -v commit="${commit}" -v device="${device}" '
    function quoted(s) {
      gsub(/[\001-\037]/, " ", s)
      gsub(/["\\]/, "\\\\&", s)
      return "\"" s "\""
    }
    BEGIN { printf "{\"commit\": %s, \"device\": %s, \"rows\": [", quoted(commit), quoted(device) }
    { number = $2 ~ /^[0-9.]+(e[-+]?[0-9]+)?$/
      printf "%s\n  {\"name\": %s, \"value\": %s, \"unit\": %s, \"percent_of_ceiling\": %s}",
             (NR > 1 ? "," : ""), quoted($1), (number ? $2 : quoted($2)), quoted($3),
             ($4 ~ /^[0-9.]+$/ ? $4 : "null") }
    END { print "\n]}" }' "${rows}" > "${results}/results.json"
  # Repeats the failures at the end of the table.
  awk -F'\t' '$2 == "FAILED" { print "FAILED " $1 ": " $3 }' "${rows}"
  rm -rf "${scratch}"
  echo "${results}/results.json"
}
trap report EXIT
trap 'exit 1' TERM INT

for part in "${parts[@]}"; do
  : > "${results}/rows_${part}.tsv"
  "${part}"
done
exit "${failed}"
