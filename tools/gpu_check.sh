#!/bin/bash
# Builds a self-contained bundle that checks and measures the CUDA backend on a machine with a GPU.
# Runs it if this machine has one. Needs a CUDA toolkit here (docs/gpu.md); the machine with the GPU
# needs only a driver and cuBLAS, no Bazel and no network.
#
#   tools/gpu_check.sh [FILE.tar.xz]     default: protopage_gpu_check.tar.xz
#
# On that machine: tar -xf protopage_gpu_check.tar.xz && protopage_gpu_check/run.sh [RESULTS_FOLDER]

set -euo pipefail
bundle="$(realpath -m "${1:-protopage_gpu_check.tar.xz}")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit_mib=60
programs=(
  //model/cuda:cublas_test
  //model/cuda:column_kernels_test
  //model/cuda:cuda_backend_test
  //model/cuda:training_steps_test
  //model/cuda:cuda_parity_test
  //model/cuda:gpu_benchmark
  //trainer:cuda_training_test
  //trainer/step:device_rows_benchmark
  //trainer:protopage
)
./bazelw build --config=cuda "${programs[@]}"
bin="$(./bazelw info --config=cuda bazel-bin 2> /dev/null)"

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
folder="${work}/protopage_gpu_check"
mkdir -p "${folder}/bin"
for program in "${programs[@]}"; do
  path="${program#//}"
  strip -o "${folder}/bin/${path##*:}" "${bin}/${path/://}"
done
cp tools/gpu_check_run.sh "${folder}/run.sh"
cp tools/gpu_check_train.json "${folder}/train.json"
cp tools/gpu_check_turns.py "${folder}/turns.py"
cp model/benchmarks/torch_peer.py "${folder}/"
git describe --always --dirty --abbrev=12 > "${folder}/commit"
tar -C "${work}" -cf - protopage_gpu_check | xz -T0 -3 > "${bundle}"

bytes="$(stat -c %s "${bundle}")"
echo "${bundle}: $((bytes / 1024 / 1024)) MiB"
if ((bytes > limit_mib << 20)); then
  echo "gpu_check.sh: the bundle is above ${limit_mib} MiB" >&2
  exit 1
fi
if [[ -e /dev/nvidia0 ]]; then
  "${folder}/run.sh" gpu_check_results
else
  echo "no GPU here; on a machine with one:" \
    "tar -xf $(basename "${bundle}") && protopage_gpu_check/run.sh"
fi
