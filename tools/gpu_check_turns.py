#!/usr/bin/env python3
"""Measures our training step and PyTorch's in turns, under the same clocks and other users.

    gpu_check_turns.py --precision=tf32 bin/gpu_benchmark torch_peer.py

Each round measures our step (gpu_benchmark --serve) and PyTorch's (torch_peer.py --serve) one
after another, in the same precision; PyTorch's in each memory layout, eager, compiled with CUDA
graphs, and as one CUDA graph. Prints a line for each, with fields separated by tabs: name, median
of the rounds, unit, "-". The last line is our rate divided by the fastest one of PyTorch in the
same round: the median, the smallest and the largest. A case that fails has a line with its error.
"""

import argparse
import json
import statistics
import subprocess
import sys


class Server:
    """A program that answers each line with a line."""

    def __init__(self, command):
        self.name = command[0]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            return {"error": "%s ended with status %s" % (self.name, self.process.wait())}
        return json.loads(line)

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read() reports the status of the program.
        return self.read()

    def end(self):
        """Ends the program. Its status is only printed: all measurements were read before."""
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "none"
        if status != 0:
            print("%s ended with status %s" % (self.name, status), file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("benchmark", help="the path of gpu_benchmark")
    parser.add_argument("peer", help="the path of torch_peer.py")
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32",
                        choices=["float32", "tf32", "bf16", "fp16"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7, help="length of each turn")
    args = parser.parse_args()

    what = ["--device=" + args.device, "--precision=" + args.precision]

    peer = Server([sys.executable, args.peer, "--serve"] + what)
    started = peer.read()
    if "error" in started:
        sys.exit(started["error"])
    torch = "PyTorch " + started["torch"].split("+")[0]
    # Functions that measure once and return our rate or the answer of the peer.
    our_name = "protopage"
    ours = Server([args.benchmark, "--serve", "--batch=%d" % args.batch,
                   "--seconds=%g" % args.seconds] + what)
    measures = {our_name: lambda seconds: ours.ask("")}
    for how in ["eager", "compiled", "one graph"]:
        for layout in ["nchw", "channels_last"]:
            request = {"batch": args.batch, "layout": layout, "how": how}
            measures["%s %s, %s" % (torch, how, layout)] = (
                lambda seconds, request=request: peer.ask(
                    json.dumps(dict(request, seconds=seconds))))

    rates = {name: [] for name in measures}
    errors = {}
    skipped = 0
    # The first round compiles and warms up.
    for number in range(1 + args.rounds):
        for name, measure in measures.items():
            if name in errors:
                continue
            answer = measure(0 if number == 0 else args.seconds)
            if isinstance(answer, (int, float)):
                answer = {"images_per_s": answer}
            if "error" in answer:
                errors[name] = answer["error"]
                continue
            skipped = max(skipped, answer.get("skipped_graphs", 0))
            if number > 0:
                rates[name].append(answer["images_per_s"])

    def row(name, value, unit):
        fields = (name, args.batch, args.precision, value, unit)
        print("in turns: %s, batch %d, %s\t%s\t%s\t-" % fields, flush=True)

    for name in measures:
        if name in errors:
            row(name, "failed", " ".join(errors[name].split())[:200])
        else:
            row(name, "%.4g" % statistics.median(rates[name]), "images/s")
    if skipped:
        row("functions that PyTorch compiled but did not record as CUDA graphs", skipped, "times")
    peers = [rates[name] for name in measures if name != our_name and name not in errors]
    if our_name not in errors and peers:
        ratios = [mine / max(others) for mine, *others in zip(rates[our_name], *peers)]
        row("%s / the fastest of PyTorch" % our_name, "%.3g" % statistics.median(ratios),
            "x (%.3g to %.3g in %d rounds)" % (min(ratios), max(ratios), len(ratios)))
    for server in [ours, peer]:
        server.end()
    # Only a failure of our own program is an error.
    sys.exit(our_name in errors)


if __name__ == "__main__":
    main()
