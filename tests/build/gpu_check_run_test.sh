#!/bin/bash
# gpu_check_run_test.sh GPU_CHECK_RUN_SH GPU_CHECK_TURNS_PY
#
# Runs the bundle's run.sh with programs that print what those on a GPU would, and checks its table,
# its JSON and its exit status.

set -euo pipefail

bundle="${TEST_TMPDIR:?}/bundle"
mkdir -p "${bundle}/bin"
cp "$1" "${bundle}/run.sh"
cp "$2" "${bundle}/turns.py"
echo abc123 > "${bundle}/commit"
echo '{}' > "${bundle}/train.json"

# program NAME: bin/NAME, from stdin.
program() {
  { echo '#!/bin/bash'; cat; } > "${bundle}/bin/$1"
  chmod +x "${bundle}/bin/$1"
}
for test in cublas_test column_kernels_test cuda_backend_test training_steps_test cuda_parity_test \
  cuda_training_test; do
  echo 'exit 0' | program "${test}"
done
program protopage << 'END'
[[ "$3" == --out=* && ! -e "${3#--out=}" ]] && mkdir "${3#--out=}" || exit 1
for rate in 900.25 1000.5 950.125; do
  echo '{"kind":"step","stage":"source","step":20,"images_per_second":'${rate}',"seconds":1}'
done > "${3#--out=}/metrics.jsonl"
END
program gpu_benchmark << 'END'
case " $* " in
  *" --describe "*) echo 'cuda ("Some GPU", \sm_90)' ;;
  *" --serve "*) while read -r _; do echo 3000; done ;;
  *)
    printf 'product 8192, x\t1.5e+02\tTFLOP/s\t-\n'
    printf 'conv "1", x\t75\tTFLOP/s\t50.0\nlost, x\tnan\tGB/s\tnan\n'
    ;;
esac
END
printf 'printf "rows, store\\t2e+06\\trows/s\\t40.5\\n"; [[ "$*" == *--directory=* ]]' |
  program device_rows_benchmark
cat > "${bundle}/torch_peer.py" << 'END'
import json, sys
print(json.dumps({"torch": "2.0+cu1"}), flush=True)
calls = 0
for line in sys.stdin:
    request = json.loads(line)
    calls += 1
    print("of a compiler", file=sys.stderr)
    if request["how"] == "compiled" and request["layout"] == "nchw":
        print(json.dumps({"error": "no \"compiler\"\n\tin line 2"}), flush=True)
    else:
        print(json.dumps({"images_per_s": 1000.0 + calls}), flush=True)
END
# A python3 that finds a torch with a GPU.
python="${bundle}/python"
cat > "${python}" << 'END'
#!/bin/bash
if [[ "$1" == -c ]]; then exit 0; fi
exec python3 "$@"
END
chmod +x "${python}"

# run NAME STATUS [PART...]: run.sh; its table goes to NAME.table, its results to the folder NAME.
run() {
  local status=0
  PYTHON="${python}" CUDA_HOME=/none PATH=/usr/bin:/bin \
    "${bundle}/run.sh" "${TEST_TMPDIR}/$1" "${@:3}" \
    > "${TEST_TMPDIR}/$1.table" 2> "${TEST_TMPDIR}/$1.err" || status=$?
  if [[ "${status}" != "$2" ]]; then
    echo "FAILED $1: run.sh ended with ${status}, not $2" >&2
    cat "${TEST_TMPDIR}/$1.err" >&2
    exit 1
  fi
}

run good 0
python3 - "${TEST_TMPDIR}/good/results.json" "${TEST_TMPDIR}/good.table" \
  "${TEST_TMPDIR}/good.err" << 'END'
import json, sys
results = json.load(open(sys.argv[1]))
assert results["commit"] == "abc123", results
assert results["device"] == 'cuda ("Some GPU", \\sm_90)', results
rows = {row["name"]: row for row in results["rows"]}

def expect(name, value, unit, percent):
    row = rows[name]
    assert (row["value"], row["unit"], row["percent_of_ceiling"]) == (value, unit, percent), row

assert rows["conformance"]["value"] == "passed", rows
assert rows["training run fp16"]["value"] == "passed", rows
expect("training run, stage source, fp16", 950.1, "images/s", None)
assert "training run, stage dominant, fp16" not in rows, rows
assert "compute-sanitizer" not in rows, rows
expect("product 8192, x", 150, "TFLOP/s", None)
expect('conv "1", x', 75, "TFLOP/s", 50)
expect("lost, x", "nan", "GB/s", None)
assert rows["conformance"]["unit"].startswith("in "), rows
err = open(sys.argv[3]).read().splitlines()
assert err.count("== conformance") == 1 and err.count("== benchmark tf32, implicit") == 1, err
expect("rows, store", 2e6, "rows/s", 40.5)
for precision in ["float32", "tf32", "bf16", "fp16"]:
    of = ", batch 256, " + precision
    expect("in turns: protopage" + of, 3000, "images/s", None)
    # 6 calls to warm up, then 5 a round: the median round's.
    expect("in turns: PyTorch 2.0 eager, nchw" + of, 1017, "images/s", None)
    expect("in turns: PyTorch 2.0 compiled, channels_last" + of, 1019, "images/s", None)
    expect("in turns: PyTorch 2.0 one graph, channels_last" + of, 1021, "images/s", None)
    expect("in turns: PyTorch 2.0 compiled, nchw" + of, "failed", 'no "compiler" in line 2', None)
    ratio = (2.94, "x (2.91 to 2.97 in 5 rounds)", None)
    expect("in turns: protopage / the fastest of PyTorch" + of, *ratio)
table = open(sys.argv[2]).read()
for name in rows:
    assert name in table, name
assert "50.0 % of the ceiling" in table, table
END

# The results of several parts add up in one folder; a part that runs again replaces its own.
run good 0 sanitizer
run good 0 benchmarks
python3 - "${TEST_TMPDIR}/good/results.json" << 'END'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
names = [row["name"] for row in rows]
assert {"name": "compute-sanitizer", "value": "skipped", "unit": "not installed",
        "percent_of_ceiling": None} in rows, rows
for name in ["conformance", "rows, store", "in turns: protopage, batch 256, tf32",
             "training run bf16"]:
    assert names.count(name) == 1, (name, names)
END

# A training run whose steps are not CUDA graphs is a failure.
program protopage << 'END'
echo "W steps are slower, as they are not CUDA graphs: because" >&2
END
PRECISIONS=bf16 run no_graph 1 checks
grep -q '^FAILED training run bf16: ' "${TEST_TMPDIR}/no_graph.table"
grep -q 'not CUDA graphs: because' "${TEST_TMPDIR}/no_graph/training_run_bf16.log"

# A benchmark that hangs, or has no time left, is a failure; rows measured before it stay.
program gpu_benchmark << 'END'
case " $* " in
  *" --describe "*) echo GPU ;;
  *) printf 'product, x\t5\tTFLOP/s\t-\n'; sleep 100 ;;
esac
END
LIMIT_S=12 PRECISIONS=float32 run slow 1 benchmarks
python3 - "${TEST_TMPDIR}/slow/results.json" << 'END'
import json, sys
rows = [(row["name"], row["value"], row["unit"].split(";")[0])
        for row in json.load(open(sys.argv[1]))["rows"]]
assert rows == [("product, x", 5, "TFLOP/s"), ("benchmark float32", "FAILED", "ran out of time"),
                ("benchmark float32, columns", "FAILED", "no time left"),
                ("benchmark float32, implicit", "FAILED", "no time left"),
                ("rows", "FAILED", "no time left")], rows
END
program gpu_benchmark << 'END'
case " $* " in
  *" --describe "*) echo GPU ;;
  *" --serve "*) while read -r _; do echo 3000; done ;;
  *) printf 'product 8192, x\t1.5e+02\tTFLOP/s\t-\n' ;;
esac
END

echo 'exit 1' | program cuda_parity_test
echo 'exit 1' | program device_rows_benchmark
run bad 1
python3 - "${TEST_TMPDIR}/bad/results.json" << 'END'
import json, sys
values = {row["name"]: row["value"] for row in json.load(open(sys.argv[1]))["rows"]}
assert values["parity with the CPU"] == "FAILED", values
assert values["rows"] == "FAILED", values
assert values["conformance"] == "passed", values
END

export PRECISIONS=tf32
run some 1 benchmarks
python3 - "${TEST_TMPDIR}/some/results.json" << 'END'
import json, sys
names = [row["name"] for row in json.load(open(sys.argv[1]))["rows"]]
# Of three ways to convolve; nothing else is run.
assert names.count("product 8192, x") == 3, names
assert "conformance" not in names and "PyTorch" not in names, names
END
run unknown 2 benchmarks check
grep -q 'part check: checks, benchmarks, peer and sanitizer are known' "${TEST_TMPDIR}/unknown.err"

program gpu_benchmark <<< 'echo "no driver" >&2; exit 1'
run no_gpu 1
grep -q 'no GPU: nothing was checked: no driver' "${TEST_TMPDIR}/no_gpu.err"
[[ ! -s "${TEST_TMPDIR}/no_gpu.table" ]]
