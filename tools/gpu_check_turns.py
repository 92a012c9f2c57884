#!/usr/bin/env python3
"""Our training step and PyTorch's in turns, so that both meet the same clocks and other users.

    gpu_check_turns.py --precision=tf32 bin/gpu_benchmark torch_peer.py

In each round our step (gpu_benchmark --serve), and PyTorch's eager and compiled (torch.compile with CUDA
graphs) in each of its memory layouts (torch_peer.py --serve), are measured one after another, all in
the same precision. Prints a line
for each, fields separated by tabs: name, the median of the rounds, unit, "-"; then our rate as a
multiple of the fastest of PyTorch's in the same round: the median, and the least and the largest. A case
of PyTorch's that fails is a line that says so.
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
            sys.exit("%s ended with status %s" % (self.name, self.process.wait()))
        return json.loads(line)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit("%s ended with status %d" % (self.name, self.process.returncode))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("benchmark", help="the path of gpu_benchmark")
    parser.add_argument("peer", help="the path of torch_peer.py")
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32",
                        choices=["float32", "tf32", "bf16", "fp16"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--implicit_gemm", action="store_true", help="of gpu_benchmark")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    args = parser.parse_args()

    what = ["--device=" + args.device, "--precision=" + args.precision]
    ours = Server([args.benchmark, "--serve", "--batch=%d" % args.batch,
                   "--seconds=%g" % args.seconds] + what +
                  (["--implicit_gemm"] if args.implicit_gemm else []))
    peer = Server([sys.executable, args.peer, "--serve"] + what)
    torch = peer.read()["torch"].split("+")[0]
    cases = {}
    for compiled, how in [(False, "eager"), (True, "compiled")]:
        for layout in ["nchw", "channels_last"]:
            cases["PyTorch %s %s, %s" % (torch, how, layout)] = {
                "batch": args.batch, "layout": layout, "compiled": compiled,
                "seconds": args.seconds}
    # Compiles and warms up; what fails takes no further part.
    failed = {}
    for name in list(cases):
        answer = peer.ask(json.dumps(dict(cases[name], seconds=0)))
        if "error" in answer:
            failed[name] = answer["error"]
            del cases[name]

    our_rates, ratios = [], []
    rates = {name: [] for name in cases}
    for _ in range(args.rounds):
        our_rates.append(float(ours.ask("")))
        fastest = 0
        for name, request in cases.items():
            answer = peer.ask(json.dumps(request))
            if "error" in answer:
                sys.exit("%s: %s" % (name, answer["error"]))
            rates[name].append(answer["images_per_s"])
            fastest = max(fastest, rates[name][-1])
        if fastest > 0:
            ratios.append(our_rates[-1] / fastest)
    ours.end()
    peer.end()

    def row(name, value, unit):
        print("%s, batch %d, %s\t%s\t%s\t-" % (name, args.batch, args.precision, value, unit))

    ours_is = "protopage, implicit GEMM" if args.implicit_gemm else "protopage"
    row("in turns: " + ours_is, "%.4g" % statistics.median(our_rates), "images/s")
    for name, values in rates.items():
        row("in turns: " + name, "%.4g" % statistics.median(values), "images/s")
    for name, error in failed.items():
        row("in turns: " + name, "failed", " ".join(error.split())[:200])
    if ratios:
        row("in turns: %s / the fastest of PyTorch" % ours_is, "%.3g" % statistics.median(ratios),
            "x (%.3g to %.3g in %d rounds)" % (min(ratios), max(ratios), len(ratios)))


if __name__ == "__main__":
    main()
