"""The losses that model/testing/training_steps.cc pins: 20 training steps of seed_cnn in PyTorch.

    python3 model/testing/testdata/pinned_steps_torch.py            (PyTorch 2.x, CPU, NumPy)

Network and input of the test, written independently: 16 images of 24 x 24 x 3, 10 classes, no
dropout, batch norm on batch statistics, AM-softmax with s 24, m .2. Images and initial weights come
from an integer hash, so that both sides have the same bits. Each setting runs in float64, which the
test pins, and six times in float32, with the initial weights moved in their last bits; the largest
distance between the two kinds is the scale of rounding, from which the test takes its tolerances.

  adam       Adam (lr 1e-4, epsilon 1e-7) on the network and on the rows, which are not renormalised
  momentum   SGD (lr .05, momentum .9, Nesterov, weight decay 5e-4 on kernels) on the network; the
             rows are unit vectors with momentum .9, lr .02, by the rule of
             model/optimizers/row_optimizer.h
"""

import numpy as np
import torch
import torch.nn.functional as F

BATCH, SIZE, CLASSES, DIM, STEPS = 16, 24, 10, 512, 20
SCALE, MARGIN = 24.0, 0.2


def hashed(stream, count):
    """uint32 values: a multiplication, a shift and another multiplication of the index."""
    n = np.arange(count, dtype=np.uint64) + np.uint64(stream) * np.uint64(1000003)
    mask = np.uint64(0xFFFFFFFF)
    n = (n * np.uint64(2654435761)) & mask
    n ^= n >> np.uint64(15)
    n = (n * np.uint64(2246822519)) & mask
    n ^= n >> np.uint64(13)
    return n


def weights(stream, shape, limit):
    """Uniform in [-limit, limit): exact in float32 but for one product."""
    unit = (hashed(stream, int(np.prod(shape))) >> np.uint64(8)).astype(np.float32)
    unit = unit * np.float32(1 / 16777216) - np.float32(0.5)
    return (unit * np.float32(2 * limit)).reshape(shape)


# (name, kernel in HWIO, limit): as in the test.
CONVS = [
    ("conv_1", (3, 3, 3, 32), 0.125),
    ("conv_2", (3, 3, 32, 32), 0.125),
    ("conv_3", (3, 3, 32, 64), 0.0625),
    ("conv_4", (3, 3, 64, 64), 0.0625),
    ("conv_5", (3, 3, 64, 512), 0.03125),
]


def run(setting, dtype, jitter=0):
    """The losses; with `jitter`, the seed of a relative change of the kernels by up to epsilon."""
    noise = np.random.RandomState(jitter)
    images = torch.tensor((hashed(100, BATCH * SIZE * SIZE * 3) >> np.uint64(24)).astype(np.float32)
                          .reshape(BATCH, SIZE, SIZE, 3)).to(dtype).permute(0, 3, 1, 2)
    slots = torch.arange(BATCH) % CLASSES
    kernels, biases = [], []
    for i, (_, shape, limit) in enumerate(CONVS):
        w = weights(i, shape, limit)
        if jitter:
            w = (w * (1 + 1.2e-7 * noise.uniform(-1, 1, shape))).astype(np.float32)
        w = torch.tensor(w).to(dtype).permute(3, 2, 0, 1).contiguous()
        kernels.append(w.requires_grad_())
        biases.append(torch.zeros(shape[3], dtype=dtype, requires_grad=True))
    gamma = torch.ones(32, dtype=dtype, requires_grad=True)
    beta = torch.zeros(32, dtype=dtype, requires_grad=True)
    rows = torch.tensor(weights(50, (CLASSES, DIM), 0.0625)).to(dtype)
    if setting == "momentum":
        rows = rows / rows.norm(dim=1, keepdim=True)
    rows.requires_grad_()

    def features(x):
        x = F.conv2d(x, kernels[0], biases[0], padding=1)
        x = F.relu(F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-3))
        x = F.max_pool2d(F.relu(F.conv2d(x, kernels[1], biases[1])), 2)
        x = F.relu(F.conv2d(x, kernels[2], biases[2], padding=1))
        x = F.max_pool2d(F.relu(F.conv2d(x, kernels[3], biases[3])), 2)
        return F.relu(F.conv2d(x, kernels[4], biases[4])).mean(dim=(2, 3))

    rest = biases + [gamma, beta]
    velocity = torch.zeros_like(rows)
    if setting == "adam":
        optimizer = torch.optim.Adam(kernels + rest + [rows], lr=1e-4, eps=1e-7)
    else:
        optimizer = torch.optim.SGD(
            [{"params": kernels, "weight_decay": 5e-4}, {"params": rest}],
            lr=0.05, momentum=0.9, nesterov=True)
    losses = []
    for _ in range(STEPS):
        cosines = F.normalize(features(images)) @ F.normalize(rows).t()
        logits = SCALE * (cosines - MARGIN * F.one_hot(slots, CLASSES).to(dtype))
        loss = F.cross_entropy(logits, slots)
        losses.append(loss.item())
        optimizer.zero_grad()
        rows.grad = None
        loss.backward()
        optimizer.step()
        if setting == "momentum":
            with torch.no_grad():
                g = rows.grad - (rows.grad * rows).sum(1, keepdim=True) * rows
                velocity = velocity - (velocity * rows).sum(1, keepdim=True) * rows
                velocity = 0.9 * velocity + g
                rows -= 0.02 * velocity
                rows /= rows.norm(dim=1, keepdim=True)
                velocity = velocity - (velocity * rows).sum(1, keepdim=True) * rows
    return losses


def main():
    torch.set_num_threads(1)
    for setting in ("adam", "momentum"):
        exact = run(setting, torch.float64)
        rounded = [run(setting, torch.float32, jitter) for jitter in range(6)]
        print(setting, "float64:")
        print("    " + ", ".join("%.9f" % x for x in exact))
        print("  largest |float32 - float64| / loss of 6 runs:\n    " + " ".join(
            "%.0e" % max(abs(r[i] - a) / a for r in rounded) for i, a in enumerate(exact)))


if __name__ == "__main__":
    main()
