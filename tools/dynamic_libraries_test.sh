#!/bin/bash
# dynamic_libraries_test.sh BINARY...
#
# Fails if a program needs a shared library that a Linux system with glibc may lack: programs must
# run on machines without our packages.

set -euo pipefail

allowed="
ld-linux-x86-64.so.2
libc.so.6
libdl.so.2
libm.so.6
libpthread.so.0
librt.so.1
"

failed=0
for binary in "$@"; do
  dynamic="$(LC_ALL=C readelf --dynamic --wide "${binary}")"
  needed="$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<< "${dynamic}")"
  # Every program needs libc; if it is not listed, readelf's output was misread.
  if ! grep -qx 'libc.so.6' <<< "${needed}"; then
    echo "FAILED: ${binary} does not need libc.so.6; it needs: ${needed}" >&2
    failed=1
  fi
  while IFS= read -r library; do
    if ! grep -qxF "${library}" <<< "${allowed}"; then
      echo "FAILED: ${binary} needs ${library}" >&2
      failed=1
    fi
  done <<< "${needed}"
  if grep -E '\((RPATH|RUNPATH)\)' <<< "${dynamic}" >&2; then
    echo "FAILED: ${binary} looks for libraries in a folder of its own" >&2
    failed=1
  fi
done
exit "${failed}"
