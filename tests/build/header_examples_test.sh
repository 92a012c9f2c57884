#!/bin/bash
# header_examples_test.sh HEADER_EXAMPLES_PY
#
# An example that no test compiles is found, and one that a test compiles is not.

set -euo pipefail

program="$(realpath "$1")"
work="${TEST_TMPDIR:?}/repository"
mkdir -p "${work}/base"
cd "${work}"
git init --quiet

# expect NAME STATUS LAST_LINE [FOLDER...]
expect() {
  local name="$1" status=0 output
  output="$(python3 "${program}" "${@:4}")" || status=$?
  if [[ "${status}" != "$2" || "$(tail -n 1 <<< "${output}")" != "header_examples.py: $3" ]]; then
    printf 'FAILED %s: expected status %s and %s, got %s and\n%s\n' \
      "${name}" "$2" "$3" "${status}" "${output}" >&2
    exit 1
  fi
}

cat > base/counter.h << 'END'
// Counts, for example:
//
//   Counter counter;
//
//   counter.Add(2);  // At most 2^63.
//   for (int i = 0; i < n; ++i) {
//     ...
//   }
//
// The sum is that of all threads:
//
//   sum = a_1 + ... + a_n
//
#ifndef PROTOPAGE_BASE_COUNTER_H_
//   int no_example;
END
expect "no test" 1 "1 examples, 1 that no test compiles"

cat > base/counter_test.cc << 'END'
TEST(CounterTest, TheExampleOfTheHeader) {
  Counter counter;
  counter.Add(2);
  for (int i = 0; i < n; ++i) {
    Use(counter);  // Whatever the example leaves out.
  }
}
END
expect "a test that compiles it" 0 "1 examples, 0 that no test compiles"
expect "the same, of its folder" 0 "1 examples, 0 that no test compiles" base
expect "another folder" 0 "0 examples, 0 that no test compiles" model

sed -i 's/Add(2)/Add(3)/' base/counter_test.cc
expect "a test of other code" 1 "1 examples, 1 that no test compiles"
sed -i 's|  counter.Add(3);|  // counter.Add(2);|' base/counter_test.cc
expect "a test that has it in a comment" 1 "1 examples, 1 that no test compiles"

mkdir -p model
sed 's|  // counter.Add(2);|  counter.Add(2);|' base/counter_test.cc > model/counter_test.cc
expect "a test of another folder" 1 "1 examples, 1 that no test compiles"
mv model/counter_test.cc base/counter_test.cc
expect "that test, moved" 0 "1 examples, 0 that no test compiles"

rm base/counter.h
expect "no headers at all" 1 "0 examples, 0 that no test compiles"
