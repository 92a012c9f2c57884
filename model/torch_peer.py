#!/usr/bin/env python3
"""The seed_cnn training step in PyTorch on the CPU: what model:backend_benchmark compares with.

    python3 model/torch_peer.py --threads=2 --batches=64,256 --rounds=5

prints JSON: for each batch size and memory layout the median images/s of the rounds. The step is
forward, AM-softmax over 10 rows, backward and Adam over the parameters and the rows, on a batch
that is ready in memory as float32; the figure of a round is from its median step.

With --serve it answers requests instead, one JSON object a line, so that another program can take
turns with it: {"batch": 64, "layout": "nchw", "seconds": 2} -> {"images_per_s": ...}.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


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
    def __init__(self, batch, layout):
        torch.manual_seed(1)
        memory_format = LAYOUTS[layout]
        self.net = SeedCnn().to(memory_format=memory_format).train()
        self.rows = nn.Parameter(torch.randn(10, 512) * 0.06)
        parameters = list(self.net.parameters()) + [self.rows]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=1e-7)
        self.images = (torch.rand(batch, 3, 32, 32) * 255).to(memory_format=memory_format)
        self.labels = torch.randint(10, (batch,))
        self.batch = batch
        for _ in range(3):
            self.step()

    def step(self):
        loss = am_softmax(self.net(self.images), self.rows, self.labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def images_per_s(self, seconds):
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - start)
        return self.batch / statistics.median(times)


def serve():
    cases = {}
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["batch"], request["layout"])
        if key not in cases:
            cases[key] = Case(*key)
        print(json.dumps({"images_per_s": cases[key].images_per_s(request["seconds"])}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.serve:
        serve()
        return
    cases = [(int(b), layout, Case(int(b), layout), []) for b in args.batches.split(",")
             for layout in LAYOUTS]
    for _ in range(args.rounds):
        for _, _, case, rounds in cases:
            rounds.append(case.images_per_s(args.seconds))
    print(json.dumps({
        "torch": torch.__version__,
        "threads": args.threads,
        "results": [{"batch": b, "layout": layout, "images_per_s": statistics.median(rounds)}
                    for b, layout, _, rounds in cases],
    }, indent=1))


if __name__ == "__main__":
    main()
