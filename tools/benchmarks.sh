#!/bin/bash
# Builds the benchmarks and runs them for some minutes: images/s, rows/s, the index, the loader,
# checkpoints and the effect of the number of classes. Prints one table that compares them with
# earlier numbers.
#
#   tools/benchmarks.sh              compares with docs/benchmarks/MACHINE.json, if there is one
#   tools/benchmarks.sh --record     and then writes that file
#   tools/benchmarks.sh --peer=DIR   compares with the binaries of another checkout, which run in
#                                    turns with these; build the same benchmarks there first
#
# tools/benchmarks.py describes the table and the other options.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./bazelw build //data:data_benchmark //model/benchmarks:backend_benchmark \
  //prototypes:class_index_benchmark //prototypes:prototype_store_benchmark \
  //trainer:scale_benchmark
bin="$(./bazelw info bazel-bin 2> /dev/null)"
commit="$(git describe --always --dirty --abbrev=12 --exclude='*')"
exec python3 tools/benchmarks.py "--bin=${bin}" "--commit=${commit}" "$@"
