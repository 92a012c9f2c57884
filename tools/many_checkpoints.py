#!/usr/bin/env python3
"""Trains with thousands of checkpoints that change little, and prints what the process holds.

    tools/many_checkpoints.py [--program=bazel-bin/trainer/protopage] [--checkpoints=10000]
        [--directory=DIR] [--set KEY=VALUE ...]

A row for 100, 1,000, 10,000 ... checkpoints: the most descriptors so far, threads and resident
memory of the process, and the files, log segments and bytes of the run's directory. The program
runs under `ulimit -n 64`. Fails if it ends with an error. DIR, made and removed, should be in
memory (/dev/shm): each checkpoint makes a dozen syncs.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

DESCRIPTORS = 64

# All features that keep files open: an index, queues, look-ahead, metrics, TensorBoard.
CONFIG = {
    "threads": 2,
    "log_every_steps": 100,
    "checkpoint_every_steps": 1,
    "data": {
        "type": "synthetic",
        "image_size": 18,
        "channels": 1,
        "synthetic": {
            "source_classes": 20,
            "target_classes": 1200,
            "unseen_classes": 20,
            "train_images": 1,
            "test_images": 1
        }
    },
    "model": {"net": "seed_cnn", "embedding_dim": 8},
    "prototypes": {"index": "flat", "cache_bytes": 1 << 20, "index_update_steps": 8},
    "selection": {
        "mode": "dominant",
        "classes_per_step": 8,
        "positive_classes": 4,
        "dominant_queue": 4,
        "candidate_queue": 8,
        "look_ahead": 3,
        "images_for": "positives"
    },
    "stages": [{"name": "imprint"}, {"name": "dominant", "batch_size": 4}, {"name": "evaluate"}]
}


def count(path):
    return len(os.listdir(path))


def resident_mib(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def run_files(directory):
    files = [os.path.join(d, n) for d, _, names in os.walk(directory) for n in names]
    sizes = []
    for path in files:
        try:
            sizes.append(os.stat(path).st_blocks * 512)
        except FileNotFoundError:
            pass  # Removed since it was listed.
    segments = sum(path.endswith(".segment") for path in files)
    return len(sizes), segments, sum(sizes) / 2**20


def steps_done(directory):
    """The stage's newest checkpoint; checkpoints are named STEP * 100 + STAGE."""
    try:
        names = [n for n in os.listdir(os.path.join(directory, "checkpoints")) if n.isdigit()]
    except FileNotFoundError:
        return 0
    return max((int(n) // 100 for n in names), default=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="bazel-bin/trainer/protopage")
    parser.add_argument("--checkpoints", type=int, default=10000)
    parser.add_argument("--directory")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    args = parser.parse_args()
    directory = args.directory or tempfile.mkdtemp(prefix="many_checkpoints.")
    os.makedirs(directory, exist_ok=True)
    run = os.path.join(directory, "run")
    config = os.path.join(directory, "config.json")
    with open(config, "w") as file:
        json.dump(CONFIG, file)
    command = [args.program, "train", f"--config={config}", f"--out={run}"]
    for setting in [f"stages[1].steps={args.checkpoints}"] + args.settings:
        command += ["--set", setting]
    soft_limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    print(f"{'checkpoints':>11} {'descriptors':>11} {'threads':>7} {'resident MiB':>12} "
          f"{'files':>5} {'segments':>8} {'disk MiB':>8}", flush=True)
    try:
        with open(os.path.join(directory, "output"), "w+") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=soft_limit)
            at = 100
            most = 0
            while process.poll() is None:
                time.sleep(0.05)
                try:
                    most = max(most, count(f"/proc/{process.pid}/fd"))
                    if steps_done(run) < at:
                        continue
                    held = (most, count(f"/proc/{process.pid}/task"), resident_mib(process.pid))
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue  # It has just ended.
                print("%11d %11d %7d %12.1f %5d %8d %8.1f" % (at, *held, *run_files(run)),
                      flush=True)
                at *= 10
            output.seek(0)
            last = output.read().splitlines()[-3:]
        print(f"exit status {process.returncode}:", *last, sep="\n  ")
        return 1 if process.returncode != 0 else 0
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
