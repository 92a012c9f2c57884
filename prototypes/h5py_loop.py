"""Reads and then writes K random rows of a [1000000, 512] HDF5 dataset one by one with h5py, as
the Keras demo's generator and its training loop do. Prints milliseconds a step.

    python3 h5py_loop.py FILE K
"""

import random
import sys
import time

import h5py
import numpy

CLASSES, DIM, STEPS = 1000000, 512, 3


def main():
    path, k = sys.argv[1], int(sys.argv[2])
    with h5py.File(path, "a") as f:
        if "w" not in f:
            f.create_dataset("w", (CLASSES, DIM), dtype="float32")
        w = f["w"]
        # The same rows every time, present in the file before the clock starts.
        ids = random.Random(k).sample(range(CLASSES), k)
        rows = numpy.zeros((k, DIM), dtype=numpy.float32)
        for row, i in enumerate(ids):
            w[i] = rows[row]
        start = time.perf_counter()
        for _ in range(STEPS):
            for row, i in enumerate(ids):
                rows[row] = w[i]
            for row, i in enumerate(ids):
                w[i] = rows[row]
        print((time.perf_counter() - start) * 1000 / STEPS)


if __name__ == "__main__":
    main()
