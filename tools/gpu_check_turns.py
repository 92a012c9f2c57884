#!/usr/bin/env python3
"""Our training step and PyTorch's in turns, so that both meet the same clocks and other users.

    gpu_check_turns.py --precision=tf32 bin/gpu_benchmark torch_peer.py

In each round our step (gpu_benchmark --serve) and PyTorch's in each of its memory layouts
(torch_peer.py --serve): eager, compiled with CUDA graphs, and as one CUDA graph, are measured one after
another, all in the same precision. Prints a line for each, fields separated by tabs: name, the median of the
rounds, unit, "-"; then our rate as a multiple of the fastest of PyTorch's in the same round: the median, and
the least and the largest. A case that fails is a line that says so.
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
            pass  # The next line says what became of it.
        return self.read()

    def end(self):
        """What it measured is told by now, however it ends."""
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
    parser.add_argument("--seconds", type=float, default=0.7, help="of each turn")
    args = parser.parse_args()

    what = ["--device=" + args.device, "--precision=" + args.precision]

    peer = Server([sys.executable, args.peer, "--serve"] + what)
    started = peer.read()
    if "error" in started:
        sys.exit(started["error"])
    torch = "PyTorch " + started["torch"].split("+")[0]
    # What measures once: our rate, or an answer of the peer's.
    our_name = "protopage"
    ours = Server([args.benchmark, "--serve", "--batch=%d" % args.batch,
                   "--seconds=%g" % args.seconds] + what)
    measures = {our_name: lambda seconds: ours.ask("")}
    for how in ["eager", "compiled", "one graph"]:
        for layout in ["nchw", "channels_last"]:
            request = {"batch": args.batch, "layout": layout, "how": how}
            measures["%s %s, %s" % (torch, how, layout)] = lambda seconds, request=request: peer.ask(
                json.dumps(dict(request, seconds=seconds)))

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
        print("in turns: %s, batch %d, %s\t%s\t%s\t-" % (name, args.batch, args.precision, value, unit),
              flush=True)

    for name in measures:
        if name in errors:
            row(name, "failed", " ".join(errors[name].split())[:200])
        else:
            row(name, "%.4g" % statistics.median(rates[name]), "images/s")
    if skipped:
        row("what PyTorch compiled and did not make a CUDA graph of", skipped, "times")
    peers = [rates[name] for name in measures if name != our_name and name not in errors]
    if our_name not in errors and peers:
        ratios = [mine / max(others) for mine, *others in zip(rates[our_name], *peers)]
        row("%s / the fastest of PyTorch" % our_name, "%.3g" % statistics.median(ratios),
            "x (%.3g to %.3g in %d rounds)" % (min(ratios), max(ratios), len(ratios)))
    for server in [ours, peer]:
        server.end()
    # Of ours, a failure is an error.
    sys.exit(our_name in errors)


if __name__ == "__main__":
    main()
