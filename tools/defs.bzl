"""The macros that every BUILD file of protopage uses.

They add the flags of the project, private visibility, and what makes includes
that are written from the root ("prototypes/prototype_store.h") work:
  - in this repository, and in another workspace that has it as an external
    repository, Bazel itself puts the root on the include path;
  - vendored below a folder of another workspace, `includes` does. To vendor,
    set ROOT below, and rewrite the load lines:
    sed -i 's|"//tools:defs.bzl"|"//third_party/protopage/tools:defs.bzl"|' */BUILD */*/BUILD
"""

# The folder that holds protopage, from the root of the workspace: "" in its
# own repository, or for example "third_party/protopage".
ROOT = ""

_COPTS = [
    "-Wall",
    "-Wextra",
    # The same bits from every compiler: a*b+c is fused only where an intrinsic
    # says so.
    "-ffp-contract=off",
]

def _label(label):
    """`label` as seen from the workspace that protopage lies in."""
    if ROOT and label.startswith("//"):
        return "//" + ROOT + "/" + label[2:]
    return label

def _labels(labels):
    # A select() cannot be looked into; write its labels relative to the package.
    return [_label(label) for label in labels] if type(labels) == "list" else labels

def _includes():
    if not ROOT:
        return []
    package = native.package_name()[len(ROOT):].strip("/")
    return ["/".join([".."] * len(package.split("/")))] if package else ["."]

def _copts(copts):
    return _COPTS + select({
        _label("//tools:werror"): ["-Werror"],
        "//conditions:default": [],
    }) + copts

def protopage_cc_library(name, copts = [], deps = [], visibility = None, **kwargs):
    """cc_library with the settings of the project."""
    native.cc_library(
        name = name,
        copts = _copts(copts),
        includes = _includes(),
        linkstatic = True,
        visibility = _labels(visibility or ["//visibility:private"]),
        deps = _labels(deps),
        **kwargs
    )

def protopage_cc_binary(name, copts = [], deps = [], visibility = None, **kwargs):
    """cc_binary with the settings of the project: all but libc is linked statically."""
    native.cc_binary(
        name = name,
        copts = _copts(copts),
        includes = _includes(),
        linkstatic = True,
        visibility = _labels(visibility or ["//visibility:private"]),
        deps = _labels(deps),
        **kwargs
    )

def protopage_cc_test(name, copts = [], deps = [], size = "small", **kwargs):
    """cc_test on GoogleTest, whose main() it links."""
    native.cc_test(
        name = name,
        size = size,
        copts = _copts(copts),
        includes = _includes(),
        linkstatic = True,
        deps = _labels(deps) + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )

def protopage_cc_benchmark(name, copts = [], deps = [], tags = [], **kwargs):
    """A program on Google Benchmark, whose main() it links; //... leaves it out."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = _copts(copts),
        includes = _includes(),
        linkstatic = True,
        tags = tags + ["benchmark", "manual"],
        deps = _labels(deps) + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )
