#!/bin/bash
# Checks by bazel queries that dependencies between folders run one way:
#
#   base <- {data, model, prototypes}           prototypes <- sampling
#   {base, model, prototypes, data} <- eval     all of these <- trainer
#
# model and prototypes do not depend on each other, and only trainer and tests depend on trainer.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A allowed=(
  [base]=""
  [data]="base"
  [model]="base"
  [prototypes]="base"
  [sampling]="base prototypes"
  [eval]="base model prototypes data"
  [trainer]="base data model prototypes sampling eval"
)
# Settings of the macros, versions of libraries: any folder may use them.
everywhere="tools third_party"

# Whether bazel finds a package at or below a folder.
has_package() {
  [[ -n "$(find "$1" -name BUILD -print -quit 2> /dev/null)" ]]
}

query() {
  ./bazelw query --noshow_progress --ui_event_filters=-info --noimplicit_deps \
    --notool_deps --order_output=no "$1"
}

failed=0
for module in base data model prototypes sampling eval trainer; do
  if ! has_package "${module}"; then
    continue
  fi
  permitted=""
  for other in "${module}" ${allowed[${module}]} ${everywhere}; do
    if has_package "${other}"; then
      permitted+=" - //${other}/...:*"
    fi
  done
  if ! forbidden="$(query "deps(//${module}/...) intersect (//...:*${permitted})")"; then
    echo "layering.sh: the query for ${module} failed" >&2
    failed=1
    continue
  fi
  if [[ -n "${forbidden}" ]]; then
    failed=1
    echo "layering.sh: ${module} may use ${module} ${allowed[${module}]}; it also uses" >&2
    while IFS= read -r target; do
      echo "  ${target}" >&2
    done <<< "${forbidden}"
    first="$(head -n 1 <<< "${forbidden}")"
    echo "  for example through" >&2
    query "somepath(//${module}/..., ${first})" | sed 's/^/    /' >&2 || true
  fi
done
exit "${failed}"
