"""Checks a store made by h5py_read_test.cc: h5py_read.py FILE empty|written float32|float16.

Exits with 0 when all is as expected, 77 when there is no h5py.
"""

import sys

try:
    import h5py
    import numpy
except ImportError:
    sys.exit(77)


def main():
    path, state, dtype = sys.argv[1:]
    with h5py.File(path, "r") as f:
        assert f.attrs["format_version"] == 2
        assert f.attrs["kind"] == b"prototypes", f.attrs["kind"]
        assert f.attrs["partitions"] == 1 and f.attrs["partition"] == 0
        assert f.attrs["generator"] == b"normal_2"
        assert f.attrs["rows_per_class"] == 1
        assert f.attrs["dim"] == 24
        assert f.attrs["seed"] == 5
        assert f.attrs["dtype"] == dtype.encode()
        assert f.attrs["row_state"] == b"momentum"
        assert f["prototypes"].shape == (1200, 24) and f["prototypes"].dtype == numpy.dtype(dtype)
        assert f["momentum"].shape == (1200, 24) and f["momentum"].dtype == numpy.float32
        assert f["last_step"].shape == (1200,) and f["last_step"].dtype == numpy.int64
        assert f["dropped"].shape == (1200,) and f["dropped"].dtype == numpy.uint64
        assert f["checksums"].shape == (1200, 3) and f["checksums"].dtype == numpy.uint64
        assert f["prototypes"].chunks is None
        written = [] if state == "empty" else [0, 7, 8, 999]
        assert f["header"][0] == 0
        assert f["header"][4] == 1000
        assert list(numpy.nonzero(f["checksums"][:, 0])[0]) == written
        assert list(numpy.nonzero(f["last_step"][:])[0]) == written
        for c in written:
            row = (0.5 * c + numpy.arange(24)).astype(numpy.float32)
            assert (f["prototypes"][c] == row).all(), c
            assert (f["momentum"][c] == -row).all(), c
            assert f["last_step"][c] == 42
        assert not f["prototypes"][5].any()


if __name__ == "__main__":
    main()
