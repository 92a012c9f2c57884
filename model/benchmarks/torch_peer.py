#!/usr/bin/env python3
"""The seed_cnn training step in PyTorch: what the benchmarks of our backends compare with.

    python3 model/benchmarks/torch_peer.py --threads=2 --batches=64,256 --rounds=5
    python3 model/benchmarks/torch_peer.py --device=cuda --batches=256 --precision=tf32

prints JSON: for each batch size and memory layout the median images/s of the rounds. The step is
forward, AM-softmax over 10 rows, backward and Adam over the parameters and the rows, on a batch
that is ready in memory as float32; the figure of a round is from its median step.

On a GPU each layout is measured in three ways:
  eager
  compiled   with CUDA graphs: torch.compile with mode "reduce-overhead", which compiles the net
             and the loss; Adam is PyTorch's, capturable
  one graph  the compiled net and loss, their backward pass and Adam as one CUDA graph, so that
             PyTorch's own work on the host is one launch
A round is then timed over groups of steps, with one wait for the GPU each.

With --serve it answers requests instead, one JSON object a line, so that another program can take
turns with it: {"batch": 64, "layout": "nchw", "seconds": 2} -> {"images_per_s": ...,
"skipped_graphs": 0}, or {"error": ...}. A request may name the way, as "how": "compiled" or "one
graph". "skipped_graphs" counts the compiled parts that could not be a CUDA graph.
"""

import argparse
import json
import os
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
WAYS = ["eager", "compiled", "one graph"]


class SeedCnn(nn.Module):
    def __init__(self, dropout=0.25):
        super().__init__()
        self.conv_1 = nn.Conv2d(3, 32, 3, padding=1)
        self.bn_1 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        self.conv_2 = nn.Conv2d(32, 32, 3)
        self.conv_3 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv_4 = nn.Conv2d(64, 64, 3)
        self.conv_5 = nn.Conv2d(64, 512, 3)
        self.dropout = dropout
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = F.relu(self.bn_1(self.conv_1(x)))
        x = F.max_pool2d(F.relu(self.conv_2(x)), 2)
        x = F.dropout(x, self.dropout, self.training)
        x = F.relu(self.conv_3(x))
        x = F.max_pool2d(F.relu(self.conv_4(x)), 2)
        x = F.dropout(x, self.dropout, self.training)
        return F.relu(self.conv_5(x)).mean((2, 3))


def am_softmax(features, rows, labels, scale=24.0, margin=0.2):
    cosines = F.normalize(features, dim=1) @ F.normalize(rows, dim=1).t()
    return F.cross_entropy(scale * (cosines - margin * F.one_hot(labels, rows.shape[0])), labels)


class Case:
    def __init__(self, batch, layout, device="cpu", precision="float32", how="eager"):
        torch.manual_seed(1)
        memory_format = LAYOUTS[layout]
        self.device = torch.device(device)
        self.net = SeedCnn().to(self.device, memory_format=memory_format).train()
        self.rows = nn.Parameter(torch.randn(10, 512, device=self.device) * 0.06)
        parameters = list(self.net.parameters()) + [self.rows]
        on_gpu = self.device.type == "cuda"
        options = {"fused": True, "capturable": how != "eager"} if on_gpu else {}
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=1e-7, **options)
        images = (torch.rand(batch, 3, 32, 32) * 255).to(memory_format=memory_format)
        self.images = images.to(self.device)
        self.labels = torch.randint(10, (batch,), device=self.device)
        if how != "eager":  # They lie where they are: no copy for each step.
            torch._dynamo.mark_static_address(self.images)
            torch._dynamo.mark_static_address(self.labels)
        self.batch = batch
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        if precision == "fp16":
            self.scaler = torch.amp.GradScaler(self.device.type)
        self.loss = self.compute_loss
        if how == "compiled":
            self.loss = torch.compile(self.compute_loss, mode="reduce-overhead", dynamic=False)
        elif how == "one graph":
            self.loss = torch.compile(self.compute_loss, dynamic=False)
        self.group = 20 if on_gpu else 1
        self.run = self.step
        if how == "one graph":
            self.run = self.graph_of_step().replay
        for _ in range(3 if how == "eager" else 10):
            self.run()

    def graph_of_step(self):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):  # Compiles, and makes Adam's state.
                self.step()
            self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph

    def compute_loss(self):
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.half is not None):
            features = self.net(self.images)
        return am_softmax(features.float(), self.rows, self.labels)

    def step(self):
        # First, as CUDA graphs write the next gradients where the last ones lie.
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        if hasattr(self, "scaler"):
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            loss.backward()
            self.optimizer.step()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def images_per_s(self, seconds):
        times = []
        end = time.perf_counter() + seconds
        self.wait()
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            for _ in range(self.group):
                self.run()
            self.wait()
            times.append((time.perf_counter() - start) / self.group)
        return self.batch / statistics.median(times)


def skipped_graphs():
    from torch._dynamo.utils import counters
    return counters["inductor"]["cudagraph_skips"]


def serve(device, precision):
    cases = {}
    # What else is printed must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"torch": torch.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["batch"], request["layout"], request.get("how", "eager"))
        try:
            if key not in cases:
                batch, layout, how = key
                cases[key] = Case(batch, layout, device, precision, how)
            answer = {"images_per_s": cases[key].images_per_s(request["seconds"]),
                      "skipped_graphs": skipped_graphs()}
        except Exception as error:  # Of whatever part of PyTorch; it is the answer.
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        print(json.dumps(answer), file=answers, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32",
                        choices=["float32", "tf32", "bf16", "fp16"],
                        help="of products: tf32 on a GPU; bf16 and fp16 by autocast")
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    if args.serve:
        serve(args.device, args.precision)
        return
    ways = WAYS if args.device == "cuda" else ["eager"]
    cases = [(int(b), layout, how, Case(int(b), layout, args.device, args.precision, how), [])
             for b in args.batches.split(",") for layout in LAYOUTS for how in ways]
    for _ in range(args.rounds):
        for _, _, _, case, rounds in cases:
            rounds.append(case.images_per_s(args.seconds))
    print(json.dumps({
        "torch": torch.__version__,
        "threads": args.threads,
        "results": [{"batch": b, "layout": layout, "how": how,
                     "images_per_s": statistics.median(rounds)}
                    for b, layout, how, _, rounds in cases],
    }, indent=1))


if __name__ == "__main__":
    main()
