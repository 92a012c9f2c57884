#!/bin/bash
# Checks and measures the CUDA backend on this machine's GPU: run.sh of the bundle that
# tools/gpu_check.sh builds.
#
#   protopage_gpu_check/run.sh [RESULTS_FOLDER [PART...]]     default: gpu_check_results, all parts
#
# Parts: checks, sanitizer (compute-sanitizer, where it is installed), benchmarks, peer (our step in turns with
# PyTorch's).
# Prints one table; results.json in the folder holds the same, beside the log of each check. Exit
# status 0 when every check passed, else 1; so too without a GPU. Environment:
#   PROTOPAGE_CUBLAS    the path of libcublas.so, where it is not found by itself
#   PYTHON              a Python with PyTorch to compare with (default: python3)
#   PRECISIONS          those to train and measure in (default: float32 tf32 bf16 fp16)

set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
results="${1:-gpu_check_results}"
mkdir -p "${results}" || exit 1
results="$(cd "${results}" && pwd)"
bin="${here}/bin"
python="${PYTHON:-python3}"
precisions="${PRECISIONS:-float32 tf32 bf16 fp16}"

if ! device="$("${bin}/gpu_benchmark" --describe 2> "${results}/device.log")"; then
  echo "no GPU: nothing was checked: $(cat "${results}/device.log")" >&2
  exit 1
fi

rows="${results}/rows.tsv"
: > "${rows}"
failed=0
# row NAME VALUE UNIT SHARE-OF-CEILING
row() { printf '%s\t%s\t%s\t%s\n' "$@" >> "${rows}"; }

# check NAME LIMIT-SECONDS COMMAND...
check() {
  local name="$1" limit="$2" start="${SECONDS}" log="${results}/${1// /_}.log"
  shift 2
  echo "== ${name}" >&2
  if timeout "${limit}" "$@" > "${log}" 2>&1; then
    row "${name}" passed "in $((SECONDS - start)) s" -
  else
    failed=1
    row "${name}" FAILED "see ${log}" -
  fi
}

# benchmark NAME COMMAND...: whose lines are rows.
benchmark() {
  local log="${results}/${1// /_}.log"
  echo "== $1" >&2
  if timeout 900 "${@:2}" > "${log}" 2> "${log}.err"; then
    cat "${log}" >> "${rows}"
  else
    failed=1
    row "$1" FAILED "see ${log}.err" -
  fi
}

checks() {
  check "products of cuBLAS" 300 "${bin}/cublas_test"
  check "conformance" 900 "${bin}/cuda_backend_test"
  check "pinned training steps" 300 "${bin}/training_steps_test"
  check "parity with the CPU" 600 "${bin}/cuda_parity_test"
  check "stages of the trainer" 600 "${bin}/cuda_training_test"
  for precision in ${precisions}; do
    # A run directory must not exist.
    rm -rf "${results}/run_${precision}"
    check "training run ${precision}" 600 "${bin}/protopage" train "--config=${here}/train.json" \
      "--out=${results}/run_${precision}" --set "precision=${precision}"
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
  for tool in memcheck racecheck; do
    check "compute-sanitizer ${tool}" 1800 "${program}" --tool "${tool}" --error-exitcode 1 \
      "${bin}/cuda_backend_test"
  done
}

benchmarks() {
  # What could be chosen otherwise, too: another size of tiles, and convolutions without columns.
  for precision in ${precisions}; do
    benchmark "benchmark ${precision}" "${bin}/gpu_benchmark" "--precision=${precision}"
    benchmark "benchmark ${precision}, large tiles" "${bin}/gpu_benchmark" \
      "--precision=${precision}" --workspace_mib=256
    if [[ "${precision}" != float32 ]]; then
      benchmark "benchmark ${precision}, implicit GEMM" "${bin}/gpu_benchmark" \
        "--precision=${precision}" --implicit_gemm
    fi
  done
  benchmark "rows" "${bin}/device_rows_benchmark" --device=cuda "--directory=${results}"
}

peer() {
  if ! "${python}" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
    row "PyTorch" skipped "${python} has no torch that sees the GPU" -
    return
  fi
  for precision in ${precisions}; do
    benchmark "in turns with PyTorch, ${precision}" "${python}" "${here}/turns.py" \
      "--precision=${precision}" "${bin}/gpu_benchmark" "${here}/torch_peer.py"
  done
  benchmark "in turns with PyTorch, tf32, implicit GEMM" "${python}" "${here}/turns.py" \
    --precision=tf32 --implicit_gemm "${bin}/gpu_benchmark" "${here}/torch_peer.py"
}

for part in "${@:2}"; do
  case "${part}" in
    checks | sanitizer | benchmarks | peer) ;;
    *)
      echo "run.sh: part ${part}: checks, sanitizer, benchmarks and peer are known" >&2
      exit 2
      ;;
  esac
done
if (($# < 2)); then set -- "${results}" checks sanitizer benchmarks peer; fi
for part in "${@:2}"; do "${part}"; done

commit="$(cat "${here}/commit")"
echo
echo "protopage ${commit} on ${device}"
awk -F'\t' '{ printf "%-70s %12s  %-12s%s\n", $1, $2, $3, ($4 == "-" ? "" : "  " $4 " % of the ceiling") }' "${rows}"
awk -F'\t' -v commit="${commit}" -v device="${device}" '
  function quoted(s) { gsub(/["\\]/, "\\\\&", s); return "\"" s "\"" }
  BEGIN { printf "{\"commit\": %s, \"device\": %s, \"rows\": [", quoted(commit), quoted(device) }
  { number = $2 ~ /^[0-9.]+(e[-+]?[0-9]+)?$/
    printf "%s\n  {\"name\": %s, \"value\": %s, \"unit\": %s, \"percent_of_ceiling\": %s}",
           (NR > 1 ? "," : ""), quoted($1), (number ? $2 : quoted($2)), quoted($3),
           ($4 ~ /^[0-9.]+$/ ? $4 : "null") }
  END { print "\n]}" }' "${rows}" > "${results}/results.json"
echo "${results}/results.json"
exit "${failed}"
