"""Checks the rules of our style that clang-format does not know. tools/format.sh runs it.

    python3 tools/style_rules.py      in the root of a git repository; prints FILE:LINE: MESSAGE

  includes       our headers are included as "protopage/PATH", PATH from the root
  guards         a header's guard is PROTOPAGE_<PATH>_H_
  mutexes        only base/mutex.h uses the standard library's, which clang does not check
  line length    at most 100 columns, in code and in the prose of Markdown

Exempt from the length of lines: URLs, C++ raw strings, and in Markdown tables, code blocks and the
targets of links. Example code in a comment, indented by three spaces or more, may reach 120
columns. tests/reuse is another workspace: its includes and guards are those of a host of ours.
"""

import os
import re
import subprocess
import sys

COLUMNS = 100
EXAMPLE_COLUMNS = 120
CODE = (".h", ".cc", ".inc", ".py", ".sh", ".bzl", ".bazelrc", "bazelw", ".ci/run")
HOST = "tests/reuse/"
MUTEX_HEADER = "base/mutex.h"
STANDARD_MUTEXES = re.compile(
    r"\bstd::(?:(?:recursive_|shared_)?(?:timed_)?mutex|condition_variable(?:_any)?|"
    r"(?:unique|shared|scoped)_lock|lock_guard)\b")


def strip_comments(line):
    """`line` without its // comment. Only URLs have "//" inside of a string."""
    return re.sub(r"(?<!:)//.*", "", line)


def check_includes(path, lines):
    """Yields (line number, message)."""
    if path.startswith(HOST):
        return
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+\.h)[">]', line)
        if not match:
            continue
        quote, name = match.groups()
        if name.startswith("protopage/"):
            if quote == "<":
                yield number, 'write "%s"' % name
            continue
        for folder in ("", os.path.dirname(path)):
            ours = os.path.normpath(os.path.join(folder, name))
            if quote == '"' and os.path.isfile(ours):
                yield number, 'write "protopage/%s"' % ours
                break


def check_guard(path, lines):
    if not path.endswith(".h"):
        return
    prefix, name = ("REUSE", path[len(HOST):]) if path.startswith(HOST) else ("PROTOPAGE", path)
    guard = re.sub(r"[^A-Z0-9]", "_", "%s/%s" % (prefix, name.upper())) + "_"
    directives = [line for line in lines if line.startswith("#")]
    expected = ["#ifndef " + guard, "#define " + guard, "#endif  // " + guard]
    if directives[:2] + directives[-1:] != expected:
        number = lines.index(directives[0]) + 1 if directives else 1
        yield number, "the header guard is not %s, or its #endif does not name it" % guard


def check_mutexes(path, lines):
    if path == MUTEX_HEADER or path.startswith(HOST) or not path.endswith((".h", ".cc")):
        return
    for number, line in enumerate(lines, 1):
        match = STANDARD_MUTEXES.search(strip_comments(line))
        if match:
            yield number, "%s: use %s, which clang checks" % (match.group(), MUTEX_HEADER)


def raw_string_lines(text):
    """The numbers of the lines that have a part of a C++ raw string."""
    found = set()
    for match in re.finditer(r'R"([^\s()\\]{0,16})\(.*?\)\1"', text, re.DOTALL):
        first = text.count("\n", 0, match.start()) + 1
        found.update(range(first, first + match.group().count("\n") + 1))
    return found


def check_code_columns(path, lines):
    raw = raw_string_lines("\n".join(lines)) if path.endswith((".h", ".cc")) else ()
    for number, line in enumerate(lines, 1):
        limit = EXAMPLE_COLUMNS if re.match(r"\s*(?://|#)   ", line) else COLUMNS
        if len(line) > limit and number not in raw and not re.search(r"https?://", line):
            yield number, "%d columns, at most %d" % (len(line), limit)


def check_prose_columns(path, lines):
    """Of Markdown."""
    fence = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fence = not fence
            continue
        if fence or line.startswith(("    ", "|")):
            continue
        text = re.sub(r"\]\([^)]*\)", "]", line)
        if len(text) > COLUMNS and not re.search(r"https?://", text):
            yield number, "%d columns of prose, at most %d" % (len(text), COLUMNS)


def rules_for(path):
    if path.endswith((".h", ".cc", ".inc")):
        yield from (check_includes, check_guard, check_mutexes)
    if path.endswith(CODE):
        yield check_code_columns
    if path.endswith(".md"):
        yield check_prose_columns


def main():
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        check=True, capture_output=True, text=True).stdout.split("\0")
    wrong = 0
    for path in sorted(filter(None, names)):
        rules = list(rules_for(path))
        # One that is deleted but not yet committed is still listed.
        if not rules or not os.path.isfile(path) or os.path.islink(path):
            continue
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for rule in rules:
            for number, message in rule(path, lines):
                print("%s:%d: %s" % (path, number, message))
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
