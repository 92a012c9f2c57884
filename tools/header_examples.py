"""Checks that the example code of every header is compiled by a test.

    python3 tools/header_examples.py [FOLDER ...]       default: all folders

An example is a block of C++ in the comment that a header begins with, indented by three spaces or
more. Its lines must stand, in their order, in a test of the header's folder (*_test.cc), which
compiles them; spaces, comments and namespaces around them do not count. A line "..." stands for
what the example leaves out: the test may have anything there. A block without a line that ends with
";", "{" or "}" is a formula, a table or a command line, and no example.
"""

import pathlib
import re
import subprocess
import sys


def example_blocks(comment):
    """Yields the examples in `comment`, each a list of lines."""
    block = []
    for line in comment.splitlines() + ["// "]:
        content = line[2:]
        if content.startswith("   "):
            block.append(content.strip())
        elif content.strip() or line == "// ":
            # Not at an empty line: an example may have some.
            if any(re.search(r"[;{}]$", strip_comment(code)) for code in block):
                yield block
            block = []


def first_comment(text):
    """The comment that `text` begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        lines.append(line)
    return "\n".join(lines)


def strip_comment(line):
    """`line` without a trailing // comment; not one inside of a string."""
    return re.sub(r"""((?:[^"/]|"(?:[^"\\]|\\.)*"|/(?!/))*)//.*""", r"\1", line).strip()


def squeeze(code):
    """`code` without white space."""
    return re.sub(r"\s+", "", code)


def parts_of(block):
    """The parts of an example between what it leaves out, squeezed."""
    parts = [""]
    for line in block:
        code = strip_comment(line)
        for i, piece in enumerate(re.split(r"\.\.\.(?:[^;{}()]*\.\.\.)?", code)):
            if i > 0:
                parts.append("")
            parts[-1] += squeeze(piece)
    return [part for part in parts if part]


def contains_in_order(code, parts):
    at = 0
    for part in parts:
        found = code.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


def main(folders):
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--"] +
        [f"{folder}/*.h" for folder in folders or ["*"]],
        check=True, capture_output=True, text=True).stdout.split()
    compiled = {}
    checked = missing = 0
    for name in sorted(tracked):
        path = pathlib.Path(name)
        if not path.exists():
            continue
        for block in example_blocks(first_comment(path.read_text())):
            checked += 1
            if path.parent not in compiled:
                compiled[path.parent] = [
                    squeeze("".join(strip_comment(line) for line in test.read_text().splitlines()))
                    for test in sorted(path.parent.glob("*_test.cc"))]
            parts = parts_of(block)
            if not any(contains_in_order(code, parts) for code in compiled[path.parent]):
                missing += 1
                print(f"{name}: no test of {path.parent}/ compiles its example:")
                for line in block:
                    print(f"    {line}")
    print(f"header_examples.py: {checked} examples, {missing} that no test compiles")
    return 1 if missing or (not checked and not folders) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
