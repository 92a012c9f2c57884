#!/bin/bash
# Writes compile_commands.json at the root, for clangd and its like. Builds nothing; run it again
# after a change of BUILD files.
#
#   tools/compile_commands.sh [OPTION...]     options of bazel, for example --config=cuda

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
# Benchmarks are "manual", which //... leaves out.
manual="$(./bazelw query --noshow_progress --ui_event_filters=-info \
  'attr(tags, "\bmanual\b", kind("cc_.* rule", //...))' | tr '\n' ' ')"
./bazelw aquery "$@" --output=jsonproto "mnemonic(\"CppCompile\", //... + set(${manual}))" \
  > "${work}/actions.json"
output_base="$(./bazelw info output_base 2> /dev/null)"
execution_root="$(./bazelw info "$@" execution_root 2> /dev/null)"

# Bazel links each header to its prefixed path when it builds the library. Here one link serves all.
mkdir -p "${output_base}/compile_commands"
ln -sfn "${PWD}" "${output_base}/compile_commands/protopage"

python3 - "${work}/actions.json" "${output_base}" "${execution_root}" << 'END'
import json
import os
import re
import sys

actions_path, output_base, execution_root = sys.argv[1:]
# Flags of g++ and of Bazel's sandbox that clang does not know or need.
dropped = re.compile(
    r"-fno-canonical-system-headers|-frandom-seed=.*|-D__\w+__=.*|-MD|-std=c\+\+0x|"
    r"-Wno-builtin-macro-redefined|-Wno-free-nonheap-object|-Wunused-but-set-parameter")


def moved(path):
    """An absolute path where `path` is below a folder that only Bazel's execution root has."""
    if path.startswith("external/"):
        return os.path.join(output_base, path)
    if path.startswith("bazel-out/"):
        return os.path.join(execution_root, path)
    return path


with open(actions_path, encoding="utf-8") as file:
    actions = json.load(file).get("actions", [])
commands = []
for action in actions:
    arguments, skip = ["clang++", "-I" + output_base + "/compile_commands"], False
    source = None
    for word, following in zip(action["arguments"][1:], action["arguments"][2:] + [""]):
        if skip or dropped.fullmatch(word) or "/_virtual_includes/" in word:
            skip = False
        elif word in ("-o", "-MF"):
            skip = True
        elif word == "-c":
            source = following
            arguments.append(word)
        else:
            arguments.append("-I" + moved(word[2:]) if word.startswith("-I") else moved(word))
    if source and os.path.exists(source):
        commands.append({"directory": os.getcwd(), "file": source, "arguments": arguments})
commands.sort(key=lambda command: (command["file"], command["arguments"]))
with open("compile_commands.json", "w", encoding="utf-8") as file:
    json.dump(commands, file, indent=1)
    file.write("\n")
print("compile_commands.json: %d commands for %d files" %
      (len(commands), len({command["file"] for command in commands})))
END
