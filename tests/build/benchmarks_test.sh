#!/bin/bash
# benchmarks_test.sh BENCHMARKS_PY
#
# Runs tools/benchmarks.py on programs that print what the benchmarks print, and checks the rows,
# comparisons with other binaries and with recorded files, and errors.

set -euo pipefail

program="$(realpath "$1")"
cd "${TEST_TMPDIR:?}"
export PYTHON=/bin/false

# binaries FOLDER FACTOR: times are FACTOR times as long, rates as low.
binaries() {
  local folder="$1/prototypes" factor="$2"
  mkdir -p "${folder}" "$1/trainer"
  program() { { echo '#!/bin/bash'; cat; } > "$1"; chmod +x "$1"; }
  scaled() { python3 -c "print('%.3f' % ($1 * ${factor}))"; }
  program "${folder}/backend_benchmark" << END
echo 'cpu, avx2; 1 rounds, medians

seed_cnn training step (forward, AM-softmax, backward, Adam), images/s
batch  64: ours $(scaled "1000 / ${factor} ** 2")
batch 256: ours $(scaled "1200 / ${factor} ** 2"), PyTorch 2.0 nchw 400.0; ours / the faster 3.00

Operations of seed_cnn, batch 64; FLOP of the plain sums
conv_1 32x32x3 -> 32 forward          1.000 ms     100.0 GFLOP/s   50.0 % of 200.0'
END
  program "${folder}/prototype_store_benchmark" << END
echo 'gather + scatter of K rows of 512 floats with momentum, 1000000 classes; medians of 1 rounds
                                      K = 256   K = 1024   K = 8192
memcpy of the same bytes                0.081      0.322      5.064
cached, in place                        0.218      0.892     10.201
  of that, until the last step          0.200      0.800     10.000
cached, with a log                     $(scaled .176)      0.756      8.734
page cache, with a log                 $(scaled 2.5)      4.304     42.611
cached / memcpy                          2.7x       2.8x       2.0x
h5py loop: not run, python3 has no h5py'
END
  program "${folder}/class_index_benchmark" << END
echo '
100000 classes, dim 512, mixture rows, 2 threads, index_bytes 268435456
kind    lists probes bytes/N  MiB build s save s load s search ms (cpu)  decoded (cpu)
ivf_sq8  1264  50  531.0  50.6  10.1  0.05  0.04  $(scaled 20) (39.5)  19.0 (37.5)  1.2 (1.5)  \
0.990  0.987  0.986
         build took 20.1 s of CPU time; recall@50 measured by Build: 0.985
scan: 500 ms for all rows, 26.2 GFLOP/s'
END
  program "$1/trainer/scale_benchmark" << END
echo 'dominant stage, seed_cnn, 512 dimensions, batch 256, 256 of N classes a step
    classes  start  first    step  ratio   rows
      1000  0.02  0.25  160.0  1.000  0.37  0.00  0.00  303  2  1.00  0  1.0  0.1%  204  2  0.04  21
   1000000  0.31  0.26  $(scaled 200)  1.018  0.25  0.19  2.00  310  161  0.84  0  90.0  1.5%  \
795  510  4.88  50'
END
  program "$1/data_benchmark" << END
echo '{"context": {}, "benchmarks": [
 {"name": "BM_Loader/folder_png_250/real_time", "items_per_second": 900.0},
 {"name": "BM_Loader/folder_jpeg_112/real_time", "items_per_second": 3600.0},
 {"name": "BM_DecodeJpeg", "items_per_second": 4000.0}]}'
END
}
binaries now 1
binaries old 1.2
mkdir -p now/x.runfiles && cp old/data_benchmark now/x.runfiles/class_index_benchmark

run() {
  python3 "${program}" "--directory=${TEST_TMPDIR}/files" "$@" > table 2> errors
}

# has TEXT...: one line of the table has these words, in this order.
has() {
  if ! tr -s ' ' < table | grep -qF -- "$*"; then
    echo "FAILED: no line with: $*" >&2
    cat table errors >&2
    exit 1
  fi
}

run --bin=now --peer=old --commit=abc --out=now.json --peer_out=old.json
has "unit now spread peer ratio bar"
has "seed_cnn step, batch 64 images/s 1000 +-0% 833 1.200 +"
has "seed_cnn step / PyTorch, batch 256 x 3 +-0% 3 1.000 = >= 2.5 met"
has "256 rows, N = 1e5, cached ms 0.176 +-0% 0.211 0.834 + <= 1 met"
has "256 rows, N = 1e5, page cache ms 2.5 +-0% 3 0.833 + <= 2 MISSED"
has "256 rows, cached / memcpy x 2.7"
has "index search, 256 of 1e5 ms 20 +-0% 24 0.833 +"
has "index update, 256 of 1e5 ms 1.2"
has "index recall at 50, 1e5 % 98.7"
has "index freshness, share of a step % 1.5 +-0% 1.5 1.000 = <= 5 met"
has "training step, N = 1e6 ms 200 +-0% 240 0.833 +"
has "training step, N = 1e6 / 1e3 x 1.25 +-0% 1.5 0.833 + <= 1.25 met"
has "waiting for images, N = 1e6 % 1 "
has "waiting for rows and plans, N = 1e6 % 0.22"
has "resident memory, N = 1e6 MiB 795"
has "checkpoint stall / step, N = 1e6 x 0.25"
has "loader, PNG 250 -> 112 images/s 900"
has "loader, JPEG 112 / libjpeg-turbo alone x 0.9 +-0% 0.9 1.000 = >= 0.8 met"
if grep -q "batch 64.*PyTorch" table; then echo "FAILED: a row that nobody measured" >&2; exit 1; fi

# The other way round, from the files.
run --show=old.json --against=now.json
has "seed_cnn step, batch 64 images/s 833 +-0% 1000 0.833 -"
has "training step, N = 1e6 ms 240 +-0% 200 1.200 -"
has "now: unknown, "
has "recorded: abc, "
if grep -q "Different machines" table; then echo "FAILED: one machine" >&2; exit 1; fi

# Rounds that overlap are noise; files of another machine, and rows that one lacks.
python3 - << 'END'
import json
old, now = json.load(open("old.json")), json.load(open("now.json"))
now["rows"]["training step, N = 1e6"]["values"] = [150, 250, 200]
del now["rows"]["index search, 256 of 1e5"]
now["machine"] = "another"
json.dump(now, open("noisy.json", "w"))
END
run --show=old.json --against=noisy.json
has "training step, N = 1e6 ms 240 +-0% 200 1.200 ="
has "index search, 256 of 1e5 ms 24 +-0% -"
has "Different machines: compare only rows in x and %."
run --show=noisy.json --against=old.json
has "training step, N = 1e6 ms 200 +-25% 240 0.833 ="
has "index search, 256 of 1e5 ms - 24"

# fails MESSAGE ARGUMENT...
fails() {
  local message="$1"
  if run "${@:2}" || ! grep -qF "${message}" errors; then
    echo "FAILED: expected an error with: ${message}" >&2
    cat errors >&2
    exit 1
  fi
}
rm old/trainer/scale_benchmark
fails "no scale_benchmark below old" --bin=old
printf '#!/bin/bash\necho changed\n' > now/trainer/scale_benchmark
fails "cannot read what scale_benchmark printed" --bin=now
printf '#!/bin/bash\nexit 3\n' > now/trainer/scale_benchmark
fails "ended with 3" --bin=now
