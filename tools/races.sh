#!/bin/bash
# Runs tests of the CUDA backend in the emulation that finds races. Options are passed to bazel.
#
#   tools/races.sh [OPTION...]         every operation, and the work that the host queues in a step
#   tools/races.sh --all [OPTION...]   also whole training steps, which take minutes

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests=(
  //model/cuda/emulation/...
  //model/cuda:column_kernels_test_emulated
  //model/cuda:cuda_backend_emulation_test
  //model/cuda:cuda_backend_test_emulated
  //model/cuda:kernel_examples_test_emulated
  //trainer:cuda_steady_step_test
)
if [[ "${1:-}" == --all ]]; then
  shift
  tests=(
    //model/cuda/...
    //trainer:cuda_resume_test
    //trainer:cuda_steady_step_test
    //trainer:cuda_training_test_emulated
  )
fi
exec ./bazelw test --config=races "$@" "${tests[@]}"
