#!/usr/bin/env python3
"""Runs the benchmarks, and compares their numbers with recorded ones or with those of other builds.

tools/benchmarks.sh builds the benchmarks and runs this program with --bin and the options it is
given:

    tools/benchmarks.py --bin=DIR                        compares with docs/benchmarks/MACHINE.json
    tools/benchmarks.py --bin=DIR --record               and then writes that file
    tools/benchmarks.py --bin=DIR --peer=DIR             compares with other binaries, in turns
    tools/benchmarks.py --show=FILE [--against=FILE]     compares files, measures nothing

Each row of the table has the median of the rounds and half their range ("spread"), the recorded or
the peer's median, the ratio of the two, and the bar where the project has set one. "+" marks a
ratio that is for the better and "-" one for the worse. "=" marks one within the noise: the change
is below 3 %, or the rounds do not agree on its direction. Times and rates depend on the machine as
much as on the build; ratios ("x") and shares ("%") can be compared across machines. A row that one
side lacks, for example because its binaries are older, is "-".

DIR is a checkout, whose bazel-bin is searched, or any folder of binaries. A binary is found by its
name, so its package may differ. With --peer, each round runs both sides, in alternating order, and
the ratio is the median of the rounds' ratios: the speed of a shared machine drifts.

The files hold all rounds of each row, the machine, the commit and the date. Environment: PYTHON, a
Python with PyTorch, to compare a training step with; the row is left out where there is none.
"""

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDS = os.path.join(ROOT, "docs", "benchmarks")

# A change below this is noise, even if all rounds agree on it.
NOISE = 0.03

# name: unit, whether "higher" or "lower" values are better, the bar or None.
ROWS = {
    "seed_cnn step, batch 64": ("images/s", "higher", None),
    "seed_cnn step, batch 256": ("images/s", "higher", None),
    "seed_cnn step / PyTorch, batch 64": ("x", "higher", 2.5),
    "seed_cnn step / PyTorch, batch 256": ("x", "higher", 2.5),
    "256 rows, N = 1e5, cached": ("ms", "lower", 1.0),
    "256 rows, N = 1e5, page cache": ("ms", "lower", 2.0),
    "256 rows, cached / memcpy": ("x", "lower", None),
    "index search, 256 of 1e5": ("ms", "lower", None),
    "index update, 256 of 1e5": ("ms", "lower", None),
    "index recall at 50, 1e5": ("%", "higher", None),
    "index freshness, share of a step": ("%", "lower", 5.0),
    "training step, N = 1e3": ("ms", "lower", None),
    "training step, N = 1e6": ("ms", "lower", None),
    "training step, N = 1e6 / 1e3": ("x", "lower", 1.25),
    "waiting for images, N = 1e6": ("%", "lower", 5.0),
    "waiting for rows and plans, N = 1e6": ("%", "lower", None),
    "resident memory, N = 1e6": ("MiB", "lower", 256 + 534 + 1024),
    "checkpoint stall, N = 1e6": ("ms", "lower", None),
    "checkpoint stall / step, N = 1e6": ("x", "lower", 1.0),
    "loader, PNG 250 -> 112": ("images/s", "higher", None),
    "loader, JPEG 112": ("images/s", "higher", None),
    "loader, JPEG 112 / libjpeg-turbo alone": ("x", "higher", 0.8),
}


def numbers(text):
    return [float(word) for word in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]


def line_after(text, start):
    """The rest of the line that begins with `start`."""
    for line in text.splitlines():
        if line.startswith(start):
            return line[len(start):]
    raise ValueError("no line begins with %r" % start)


def parse_backend(text):
    rows = {}
    for batch in (64, 256):
        rest = line_after(text, "batch %3d: ours " % batch)
        rows["seed_cnn step, batch %d" % batch] = numbers(rest)[0]
        ratio = re.search(r"ours / the faster ([\d.]+)", rest)
        if ratio:
            rows["seed_cnn step / PyTorch, batch %d" % batch] = float(ratio.group(1))
    return rows


def parse_store(text):
    """The first column is K = 256. With a log, as in training, the merge included."""
    first = lambda start: numbers(line_after(text, start))[0]
    return {
        "256 rows, N = 1e5, cached": first("cached, with a log"),
        "256 rows, N = 1e5, page cache": first("page cache, with a log"),
        "256 rows, cached / memcpy": first("cached / memcpy"),
    }


def parse_index(text):
    """The line below the heading is that of the kind that "auto" chose."""
    lines = text.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.startswith("kind "))
    values = numbers(lines[heading + 1].split(None, 1)[1])
    # lists probes bytes/N MiB build save load, search (cpu), decoded (cpu), update (cpu), recalls
    return {
        "index search, 256 of 1e5": values[7],
        "index update, 256 of 1e5": values[11],
        "index recall at 50, 1e5": 100 * values[14],
    }


def parse_scale(text):
    tables = {}
    for line in text.splitlines():
        if re.match(r"\s*\d+ +\d", line):
            values = numbers(line)
            tables[int(values[0])] = values
    small, large = tables[1000], tables[1000000]
    # classes start first step ratio rows plan images cpu read hits fetched encoded index resident
    # "i. MiB" "disk G" ckpt
    step = large[3]
    return {
        "training step, N = 1e3": small[3],
        "training step, N = 1e6": step,
        "training step, N = 1e6 / 1e3": step / small[3],
        "waiting for images, N = 1e6": 100 * large[7] / step,
        "waiting for rows and plans, N = 1e6": 100 * (large[5] + large[6]) / step,
        "index freshness, share of a step": large[13],
        "resident memory, N = 1e6": large[14],
        "checkpoint stall, N = 1e6": large[17],
        "checkpoint stall / step, N = 1e6": large[17] / step,
    }


def parse_data(text):
    """Of Google Benchmark's JSON."""
    rate = {run["name"]: run["items_per_second"] for run in json.loads(text)["benchmarks"]}
    rows = {"loader, PNG 250 -> 112": rate["BM_Loader/folder_png_250/real_time"]}
    loader = rate.get("BM_Loader/folder_jpeg_112/real_time")
    decoder = rate.get("BM_DecodeJpeg")
    if loader and decoder:
        rows["loader, JPEG 112"] = loader
        rows["loader, JPEG 112 / libjpeg-turbo alone"] = loader / decoder
    return rows


# Runs of a binary, where fewer than --rounds: the store's writes its files of some GiB first.
MOST_ROUNDS = {"prototype_store_benchmark": 2}

# name of the binary: (arguments, parser); {directory} is a folder for its files, {python} a Python
# with PyTorch or empty.
BENCHMARKS = {
    "backend_benchmark": (
        ["--rounds=1", "--seconds=2", "--threads={threads}", "--python={python}",
         "--peer={torch_peer}"],
        parse_backend),
    "prototype_store_benchmark": (
        ["--classes=100000", "--rounds=1", "--quick", "--directory={directory}"], parse_store),
    "class_index_benchmark": (
        ["--classes=100000", "--kinds=auto", "--rounds=3", "--threads={threads}",
         "--directory={directory}"], parse_index),
    # Its tables stay in a folder a side, as preparing that of 1e6 classes takes minutes and each
    # build opens only tables of its own config.
    "scale_benchmark": (
        ["--directory={tables}", "--classes=1000", "--classes=1000000", "--rounds=1",
         "--set=threads={threads}"], parse_scale),
    "data_benchmark": (
        ["--benchmark_filter=BM_Loader/folder|BM_DecodeJpeg", "--benchmark_format=json",
         "--benchmark_min_time=0.5"], parse_data),
}


def find_binaries(folder):
    """{name: path}, in a checkout of those that Bazel has built."""
    bazel_bin = os.path.join(folder, "bazel-bin")
    found = {}
    for path, folders, files in os.walk(
            os.path.realpath(bazel_bin if os.path.isdir(bazel_bin) else folder)):
        folders[:] = [name for name in folders if not name.endswith((".runfiles", "_objs"))]
        for name in files:
            if name in BENCHMARKS and os.access(os.path.join(path, name), os.X_OK):
                found[name] = os.path.join(path, name)
    return found


def run_once(name, binary, settings):
    """The rows of one run; ends the program if it fails."""
    arguments, parser = BENCHMARKS[name]
    command = [binary] + [argument.format(**settings) for argument in arguments]
    # Not in the root, where the store's benchmark would find its h5py loop and run it.
    result = subprocess.run(command, cwd=settings["directory"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True,
                            env=dict(os.environ, OPENBLAS_NUM_THREADS="1",
                                     TMPDIR=settings["directory"]))
    if result.returncode != 0:
        sys.exit("benchmarks.py: %s ended with %d:\n%s" % (
            " ".join(command), result.returncode, result.stderr[-2000:]))
    try:
        return parser(result.stdout)
    except (ValueError, IndexError, KeyError, StopIteration) as error:
        sys.exit("benchmarks.py: cannot read what %s printed (%r):\n%s" % (
            name, error, result.stdout[-4000:]))


def measure(binaries, rounds, settings, names):
    """[{row: values, one a round}] of each of `binaries`, which take turns."""
    values = [{} for _ in binaries]
    for name in names:
        start = time.monotonic()
        for number in range(min(rounds, MOST_ROUNDS.get(name, rounds))):
            # Neither always comes second.
            order = range(len(binaries))
            for i in order if number % 2 == 0 else reversed(order):
                if name not in binaries[i]:
                    continue
                tables = os.path.join(settings["directory"], "scale" if i == 0 else "scale_peer")
                of_side = dict(settings, tables=tables)
                for row, value in run_once(name, binaries[i][name], of_side).items():
                    values[i].setdefault(row, []).append(value)
        print("%s: %.0f s" % (name, time.monotonic() - start), file=sys.stderr)
    return values


def machine():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            info = dict(re.findall(r"^([^\t:]+)\t*: (.*)$", file.read(), re.MULTILINE))
    except OSError:
        info = {}
    # A hypervisor may report the model's name as no more than "AMD EPYC".
    cpu = "%s family %s model %s%s" % (
        info.get("model name", "unknown"), info.get("cpu family", "?"), info.get("model", "?"),
        " AVX-512" if "avx512f" in info.get("flags", "") else "")
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "%s, %d processors, %.0f GiB" % (cpu, len(os.sched_getaffinity(0)), gib)


def record_path():
    """Of this machine."""
    return os.path.join(RECORDS, re.sub(r"[^A-Za-z0-9]+", "_", machine()) + ".json")


def commit_of(folder):
    """Of the checkout `folder`, or "unknown"."""
    result = subprocess.run(
        ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return result.stdout.strip() or "unknown"


def record(values, commit):
    return {
        "machine": machine(),
        "commit": commit,
        "date": datetime.datetime.utcnow().strftime("%Y-%m-%d %H:%M UTC"),
        "rows": {row: {"unit": ROWS[row][0], "values": [float("%.6g" % v) for v in values[row]]}
                 for row in ROWS if row in values},
    }


def shown(value):
    return "%.0f" % value if value >= 1000 else "%.3g" % value


def compare(row, now, before, paired):
    """(now / before, its mark); `paired`: by rounds, in which both sides ran."""
    if paired and len(now) == len(before):
        ratios = [a / b for a, b in zip(now, before) if b]
        ratio = statistics.median(ratios) if ratios else None
        clear = ratios and (min(ratios) > 1 or max(ratios) < 1)
    else:
        middle = statistics.median(before)
        ratio = statistics.median(now) / middle if middle else None
        clear = min(now) > max(before) or max(now) < min(before)
    if ratio is None:
        return None, ""
    if not clear or abs(ratio - 1) < NOISE:
        return ratio, "="
    return ratio, "+" if (ratio > 1) == (ROWS[row][1] == "higher") else "-"


def table(now, before=None, paired=False):
    """Text on two records, the second optional."""
    other = "peer" if paired else "recorded"
    lines = [["", "unit", "now", "spread", other, "ratio", "", "bar", ""]]
    for row, (unit, better, bar) in ROWS.items():
        ours = now["rows"].get(row)
        theirs = before["rows"].get(row) if before else None
        if ours is None and theirs is None:
            continue
        cells = [row, unit, "-", "", "-", "", "", "", ""]
        if ours:
            values = ours["values"]
            middle = statistics.median(values)
            cells[2] = shown(middle)
            if middle:
                cells[3] = "+-%.0f%%" % (50 * (max(values) - min(values)) / abs(middle))
            if bar is not None:
                cells[7] = "%s %s" % (">=" if better == "higher" else "<=", shown(bar))
                met = middle >= bar if better == "higher" else middle <= bar
                cells[8] = "met" if met else "MISSED"
        if theirs:
            cells[4] = shown(statistics.median(theirs["values"]))
        if ours and theirs:
            ratio, mark = compare(row, ours["values"], theirs["values"], paired)
            cells[5], cells[6] = "%.3f" % ratio if ratio is not None else "", mark
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = (0, 1, 6, 7, 8)
    text = "\n".join("  ".join(
        cell.ljust(width) if i in left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)
    described = lambda what, r: "%s: %s, %s, %s" % (what, r["commit"], r["date"], r["machine"])
    heading = described("now", now)
    if before:
        heading += "\n" + described(other, before)
        if before["machine"] != now["machine"]:
            heading += "\nDifferent machines: compare only rows in x and %."
    return heading + "\n\n" + text + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="a checkout or a folder with the binaries")
    parser.add_argument("--peer", help="another checkout or folder, to run in turns")
    parser.add_argument("--record", action="store_true", help="in docs/benchmarks")
    parser.add_argument("--out", help="a JSON file to write the numbers to")
    parser.add_argument("--peer_out", help="a JSON file to write the peer's numbers to")
    parser.add_argument("--against", help="a recorded file; default: this machine's, if any")
    parser.add_argument("--show", help="a recorded file to show instead of measuring")
    parser.add_argument("--commit", help="of the binaries; default: of the checkout DIR")
    parser.add_argument("--peer_commit", help="of the peer's")
    parser.add_argument("--only", help="the benchmarks to run, separated by commas; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--directory", default=os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
        "protopage", "benchmarks"),
        help="for the files of the benchmarks, of which 5 GiB stay (default: %(default)s)")
    args = parser.parse_args()

    def load(path):
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def save(path, content):
        if path:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.write("\n")

    against = load(args.against) if args.against else None
    if not args.against and not args.peer and not args.show and os.path.exists(record_path()):
        against = load(record_path())
    if args.show:
        print(table(load(args.show), against), end="")
        return
    if not args.bin:
        parser.error("--bin or --show is needed")

    names = args.only.split(",") if args.only else list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error("--only: found %s, expected some of %s" % (
            ", ".join(unknown), ", ".join(BENCHMARKS)))

    folders = [args.bin] + ([args.peer] if args.peer else [])
    binaries = [find_binaries(folder) for folder in folders]
    for folder, found in zip(folders, binaries):
        missing = sorted(set(names) - set(found))
        if missing:
            sys.exit("benchmarks.py: no %s below %s" % (", ".join(missing), folder))
    python = os.environ.get("PYTHON", "python3")
    if subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        python = ""
    os.makedirs(args.directory, exist_ok=True)
    settings = {
        "directory": os.path.abspath(args.directory), "python": python, "threads": args.threads,
        "torch_peer": os.path.join(ROOT, "model", "benchmarks", "torch_peer.py")}
    values = measure(binaries, args.rounds, settings, names)
    now = record(values[0], args.commit or commit_of(args.bin))
    save(args.out, now)
    if args.record:
        save(record_path(), now)
    if args.peer:
        peer = record(values[1], args.peer_commit or commit_of(args.peer))
        save(args.peer_out, peer)
        print(table(now, peer, paired=True), end="")
    if against or not args.peer:
        print(table(now, against), end="")


if __name__ == "__main__":
    main()
