#!/bin/bash
# style_rules_test.sh STYLE_RULES_PY
#
# Each rule of tools/style_rules.py finds a violation, and accepts what it exempts.

set -euo pipefail

program="$(realpath "$1")"
work="${TEST_TMPDIR:?}/repository"
mkdir -p "${work}"
cd "${work}"
git init --quiet

long="$(printf 'x%.0s' {1..101})"

# expect NAME EXPECTED FILE: FILE gets what stdin has, and the program must print EXPECTED, with
# exit status 1, or 0 if EXPECTED is empty.
expect() {
  local name="$1" expected="$2" file="$3" actual status=0 wanted=1
  mkdir -p "$(dirname "${file}")"
  cat > "${file}"
  actual="$(python3 "${program}")" || status=$?
  if [[ -z "${expected}" ]]; then wanted=0; fi
  if [[ "${actual}" != "${expected}" || "${status}" != "${wanted}" ]]; then
    printf 'FAILED %s: status %s, expected\n%s\ngot\n%s\n' \
      "${name}" "${status}" "${expected}" "${actual}" >&2
    exit 1
  fi
  rm "${file}"
}

# header GUARD
header() { printf '// A comment.\n#ifndef %s\n#define %s\n#endif  // %s\n' "$1" "$1" "$1"; }

header PROTOPAGE_BASE_GOOD_H_ | expect "a guard" "" base/good.h
header GOOD_H_ | expect "a guard that is not the path" \
  "base/good.h:2: the header guard is not PROTOPAGE_BASE_GOOD_H_, or its #endif does not name it" \
  base/good.h
echo 'int x;' | expect "no guard" \
  "base/none.h:1: the header guard is not PROTOPAGE_BASE_NONE_H_, or its #endif does not name it" \
  base/none.h
header REUSE_BASE_TYPES_H_ | expect "a guard of the host" "" tests/reuse/base/types.h

mkdir -p base
header PROTOPAGE_BASE_TYPES_H_ > base/types.h
echo '#include "protopage/base/types.h"' | expect "an include" "" model/a.cc
echo '#include "base/types.h"' | expect "an include without the project's name" \
  'model/a.cc:1: write "protopage/base/types.h"' model/a.cc
echo '#include "types.h"' | expect "an include relative to the file" \
  'base/a.cc:1: write "protopage/base/types.h"' base/a.cc
echo '#include <protopage/base/types.h>' | expect "an include in angle brackets" \
  'model/a.cc:1: write "protopage/base/types.h"' model/a.cc
echo '#include "gtest/gtest.h"' | expect "an include of another project" "" model/a.cc
echo '#include "base/types.h"' | expect "an include of the host's" "" tests/reuse/model/a.cc

printf '\nstd::mutex mutex;\n' | expect "a mutex" \
  'model/a.cc:2: std::mutex: use base/mutex.h, which clang checks' model/a.cc
echo 'std::lock_guard lock(m);' | expect "a lock" \
  'model/a.cc:1: std::lock_guard: use base/mutex.h, which clang checks' model/a.cc
echo 'std::condition_variable_any changed;' | expect "a condition variable" \
  'model/a.cc:1: std::condition_variable_any: use base/mutex.h, which clang checks' model/a.cc
echo '// As std::mutex.' | expect "a mutex in a comment" "" model/a.cc
{ header PROTOPAGE_BASE_MUTEX_H_; } | sed 's|^#endif|std::mutex m;\n&|' |
  expect "the mutexes that clang checks" "" base/mutex.h

echo "// ${long}" | expect "a long line" 'model/a.cc:1: 104 columns, at most 100' model/a.cc
echo "${long}" | expect "a long line of a script" 'a.sh:1: 101 columns, at most 100' a.sh
echo "//   ${long}" | expect "a long line of an example" "" model/a.cc
echo "//   ${long}${long}" | expect "a line of an example that is too long" \
  'model/a.cc:1: 207 columns, at most 120' model/a.cc
echo "// https://example.com/${long}" | expect "a URL" "" model/a.cc
printf 'R"({\n%s\n})";\n' "${long}" | expect "a raw string" "" model/a.cc
printf 'R"({\n%s\n})";\n%s\n' "${long}" "${long}" | expect "a long line after a raw string" \
  'model/a.cc:4: 101 columns, at most 100' model/a.cc

echo "${long}" | expect "a long line of prose" \
  'a.md:1: 101 columns of prose, at most 100' a.md
printf '| %s |\n\n    %s\n\n```\n%s\n```\n\n[a](%s)\n' "${long}" "${long}" "${long}" "${long}" |
  expect "a table, blocks of code and a link" "" a.md
printf '```\n```\n%s\n' "${long}" | expect "a long line after a block of code" \
  'a.md:3: 101 columns of prose, at most 100' a.md
