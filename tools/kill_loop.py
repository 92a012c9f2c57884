#!/usr/bin/env python3
"""Kills training runs at random instants, resumes them, and compares what they end with.

    tools/kill_loop.py [--program=bazel-bin/trainer/protopage] [--runs=200] [--seed=1]
        [--directory=DIR]

Each run has one of six configs: momentum, float16 with Adagrad, mixed selection, an ivf index with
look-ahead, one kept checkpoint, two generations of prototypes. It is killed with SIGKILL up to
three times, at instants drawn over the time of a run, and resumed each time. It must end with the
checkpoints, the net, the rows, the evaluations and the logged losses of a run that was not
killed, byte for byte. A row for each config is printed. Exits with 1 when anything differs. DIR,
made and removed, may be in memory.
"""

import argparse
import copy
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BASE = {
    "seed": 7,
    "threads": 2,
    "log_every_steps": 3,  # Checkpoints come in the middle of an interval.
    "checkpoint_every_steps": 7,
    "data": {
        "type": "synthetic",
        "image_size": 18,
        "channels": 1,
        "synthetic": {
            "source_classes": 10,
            "target_classes": 600,
            "unseen_classes": 10,
            "train_images": 1,
            "test_images": 1
        }
    },
    "model": {"net": "seed_cnn", "embedding_dim": 64},
    "prototypes": {"cache_bytes": 1 << 20, "index_update_steps": 4},
    "selection": {
        "mode": "dominant",
        "classes_per_step": 24,
        "positive_classes": 8,
        "dominant_queue": 6,
        "candidate_queue": 12,
        "images_for": "positives",
        "candidate_refresh_steps": 15
    },
    "stages": [{"name": "source", "steps": 4, "batch_size": 8},
               {"name": "imprint"},
               {"name": "dominant", "steps": 60, "batch_size": 8},
               {"name": "evaluate"}]
}

# Name -> what differs from BASE.
CONFIGS = {
    "momentum": {},
    "float16, adagrad": {
        "prototypes": {"dtype": "float16", "row_state": "adagrad"},
        "stages": BASE["stages"][:2] + [{"name": "dominant", "steps": 60, "batch_size": 8,
                                         "rows": {"name": "adagrad"}},
                                        {"name": "evaluate"}]
    },
    "mixed selection": {"selection": {"mode": "mixed"}},
    "ivf, look-ahead": {
        "prototypes": {"index": "ivf_sq8", "index_lists": 20, "index_probes": 6},
        "selection": {"look_ahead": 4}
    },
    "keep 1": {"keep_checkpoints": 1, "checkpoint_every_steps": 2},
    "two generations": {
        "stages": BASE["stages"][:3] + [{"name": "imprint"},
                                        {"name": "dominant", "steps": 20, "batch_size": 8},
                                        {"name": "evaluate"}]
    },
}


def merged(base, changes):
    result = copy.deepcopy(base)
    for key, value in changes.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result \
            else value
    return result


def train(args, config, run, resume):
    command = [args.program, "train", "--config=" + config, "--out=" + run]
    log = open(run + ".log", "ab")
    return subprocess.Popen(command + (["--resume"] if resume else []), stdout=log, stderr=log)


def figures(line):
    """What a record says of the training, without times and the work of caches."""
    record = json.loads(line)
    return {key: record.get(key)
            for key in ("kind", "stage_index", "step", "loss", "accuracy", "learning_rate")}


def outcome(args, run):
    """What a finished run holds, as a dict of digests."""
    checkpoints = os.path.join(run, "checkpoints")
    newest = os.path.join(checkpoints, max(os.listdir(checkpoints), key=int))
    result = {"checkpoints": ",".join(sorted(os.listdir(checkpoints)))}
    with open(os.path.join(newest, "model.h5"), "rb") as f:
        result["model"] = hashlib.sha256(f.read()).hexdigest()
    # A file of its own: without the log, and so without its history.
    rows = run + ".npy"
    subprocess.run([args.program, "export", "--run=" + run, "--output=" + rows], check=True,
                   stderr=subprocess.DEVNULL)
    with open(rows, "rb") as f:
        result["rows"] = hashlib.sha256(f.read()).hexdigest()
    os.remove(rows)
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as f:
        records = [figures(line) for line in f]
    # A resumed run adds a record of its own; the steps' are the same.
    result["steps"] = json.dumps([r for r in records if r["kind"] == "step"])
    with open(os.path.join(run, "results.json"), encoding="utf-8") as f:
        results = json.load(f)
    results.pop("xxh3", None)
    result["results"] = json.dumps(results)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="bazel-bin/trainer/protopage")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    args = parser.parse_args()
    args.program = os.path.abspath(args.program)
    rng = random.Random(args.seed)
    work = tempfile.mkdtemp(prefix="kill_loop.", dir=args.directory)
    references = {}
    for name, changes in CONFIGS.items():
        config = os.path.join(work, name.replace(", ", "_").replace(" ", "_") + ".json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump(merged(BASE, changes), f)
        run = config[:-5]
        begin = time.monotonic()
        if train(args, config, run, False).wait() != 0:
            sys.exit("%s: the run that is not killed fails; see %s.log" % (name, run))
        references[name] = (config, time.monotonic() - begin, outcome(args, run))
    counts = {name: [0, 0, 0, 0] for name in CONFIGS}  # Runs, kills, resumes, differences.
    failures = []
    for i in range(args.runs):
        name = list(CONFIGS)[i % len(CONFIGS)]
        config, seconds, expected = references[name]
        run = os.path.join(work, "run%d" % i)
        count = counts[name]
        count[0] += 1
        kills, begun, found = rng.randint(1, 3), False, None
        for attempt in range(kills + 1):
            begun = begun or os.path.exists(os.path.join(run, "config.json"))
            process = train(args, config, run, begun)
            count[2] += begun
            if attempt < kills:
                try:
                    process.wait(timeout=rng.random() * seconds / (1 + attempt / 2))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    count[1] += 1
                    continue
            if process.wait() != 0:
                found = {"status": str(process.returncode)}
            break
        found = found or outcome(args, run)
        different = [key for key in expected if found.get(key) != expected[key]]
        if different:
            count[3] += 1
            kept = "%s/failed_%d" % (args.directory, i)
            shutil.copytree(run, kept, dirs_exist_ok=True)
            shutil.copy(run + ".log", kept)
            failures.append("%s: run %d differs in %s; kept in %s" % (name, i, different, kept))
            print(failures[-1], flush=True)
        shutil.rmtree(run)
        os.remove(run + ".log")
    shutil.rmtree(work)
    print("| config | runs | kills | resumes | different |\n|---|---|---|---|---|")
    for name, count in counts.items():
        print("| %s | %s |" % (name, " | ".join(map(str, count))))
    print("| all | %s |" % " | ".join(str(sum(c[k] for c in counts.values())) for k in range(4)))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
