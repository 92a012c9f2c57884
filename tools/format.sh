#!/bin/bash
# Checks the formatting of the files in git and of new ones: C++ by clang-format, BUILD and .bzl
# files by buildifier where it is installed (on PATH, or named by $BUILDIFIER), all by the rules of
# tools/style_rules.py. Silent when all is well.
#
#   tools/format.sh          prints the errors and exits with 1
#   tools/format.sh --fix    rewrites the files; errors against the rules are for you to fix

set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fix=0
if [[ "${1:-}" == "--fix" ]]; then
  fix=1
fi

# Prints the files that match, NUL-terminated.
files() {
  git ls-files -z --cached --others --exclude-standard --deduplicate -- "$@" |
    while IFS= read -r -d '' file; do
      # One that is deleted but not yet committed is still listed.
      if [[ -f "${file}" ]]; then
        printf '%s\0' "${file}"
      fi
    done
}

failed=0

mapfile -d '' -t sources < <(files '*.cc' '*.h' '*.cu' '*.cuh')
if [[ ${#sources[@]} -gt 0 ]]; then
  if ((fix)); then
    clang-format -i "${sources[@]}"
  else
    # One line for each place, without the source that it quotes.
    clang-format --dry-run -Werror "${sources[@]}" 2>&1 |
      { grep -E '^[^ ]+: (error|warning):' || true; } >&2
    if [[ "${PIPESTATUS[0]}" != 0 ]]; then
      failed=1
    fi
  fi
fi

buildifier="${BUILDIFIER:-$(command -v buildifier || true)}"
if [[ -n "${buildifier}" ]]; then
  mapfile -d '' -t builds < <(files 'BUILD' '*/BUILD' 'WORKSPACE' \
    '*/WORKSPACE' '*.bzl' '*.BUILD')
  if ((fix)); then
    "${buildifier}" -mode=fix -lint=off "${builds[@]}"
  else
    "${buildifier}" -mode=check -lint=off "${builds[@]}" || failed=1
  fi
fi

if ((failed)); then
  echo "format.sh: tools/format.sh --fix rewrites these files" >&2
fi
python3 tools/style_rules.py >&2 || failed=1
exit "${failed}"
