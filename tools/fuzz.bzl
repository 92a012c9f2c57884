"""Fuzzers: functions that are called with any bytes, and must neither crash nor hang.

    load("//tools:fuzz.bzl", "protopage_fuzz_test")

    protopage_fuzz_test(
        name = "list_fuzz",
        srcs = ["list_fuzz.cc"],
        deps = ["//data:file_source", ...],
    )

`srcs` define LLVMFuzzerTestOneInput. The macro makes a test and a fuzzer of it:

    :list_fuzz       a test that calls it with each file of the folder list_fuzz.corpus
    :list_fuzz_run   a program that looks for inputs that fail, built by --config=fuzz only

An input that failed goes to the corpus, and so stays a test. tools/fuzz.sh runs the programs.
"""

load("//tools:defs.bzl", "project_copts", "project_label", "protopage_cc_library")

def protopage_fuzz_test(name, srcs, deps, max_len = 4096, size = "small"):
    """A test and a fuzzer, see above.

    Args:
      name: of the test; the corpus is the folder NAME.corpus, and NAME.dict is a dictionary of
        libFuzzer, if it is there.
      srcs: the sources.
      deps: of the sources.
      max_len: the most bytes of an input that the fuzzer makes.
      size: of the test.
    """

    # Every file of the folder is a case: to add one is to add a test.
    corpus = native.glob([name + ".corpus/*"], allow_empty = True)
    dictionary = native.glob([name + ".dict"], allow_empty = True)
    protopage_cc_library(
        name = name + "_function",
        testonly = True,
        srcs = srcs,
        alwayslink = True,
        visibility = ["//visibility:private"],
        deps = deps,
    )
    native.cc_test(
        name = name,
        size = size,
        copts = project_copts([]),
        args = ["$(locations {})".format(file) for file in corpus],
        data = corpus,
        linkstatic = True,
        deps = [
            name + "_function",
            project_label("//base/fuzz:corpus_main"),
        ],
    )
    native.cc_binary(
        name = name + "_run",
        testonly = True,
        args = ["-max_len={}".format(max_len)] +
               ["-dict=$(location {})".format(file) for file in dictionary],
        data = dictionary,
        linkopts = ["-fsanitize=fuzzer"],
        linkstatic = True,
        tags = ["fuzzer", "manual"],
        deps = [name + "_function"],
    )
