"""The macros that every BUILD file of protopage uses.

They add the project's compiler flags, static linking and the prefix of includes. A header is
included by the name of the project and its path from the project's root,

    #include "protopage/prototypes/prototype_store.h"

in this repository, in a workspace that has it as an external repository, and in one that has a
copy of it in a folder. So a host's file may have the same path as one of ours. To keep a copy, set
ROOT below and rewrite the load lines:

    sed -i 's|"//tools:defs.bzl"|"//third_party/protopage/tools:defs.bzl"|' */BUILD */*/BUILD
"""

# The folder of protopage, relative to the root of the workspace: "" in its own repository, for
# example "third_party/protopage" elsewhere.
ROOT = ""

_COPTS = [
    "-Wall",
    "-Wextra",
    # The same bits from every compiler: only intrinsics fuse a*b+c.
    "-ffp-contract=off",
]

def project_label(label):
    """`label` relative to the workspace that contains protopage."""
    if ROOT and label.startswith("//"):
        return "//" + ROOT + "/" + label[2:]
    return label

def _labels(labels):
    # The labels inside of a select() cannot be rewritten: write them relative to the package.
    return [project_label(label) for label in labels] if type(labels) == "list" else labels

def _include_prefix():
    """The path of a package's headers in includes."""
    return "/".join(["protopage", native.package_name()[len(ROOT):].strip("/")])

def project_copts(copts):
    """The project's flags for the compiler, then `copts`."""
    return _COPTS + select({
        project_label("//tools:werror"): ["-Werror"],
        "//conditions:default": [],
    }) + copts

def protopage_cc_library(name, copts = [], deps = [], visibility = None, **kwargs):
    """cc_library with the settings of the project."""
    native.cc_library(
        name = name,
        copts = project_copts(copts),
        include_prefix = _include_prefix(),
        linkstatic = True,
        visibility = _labels(visibility),
        deps = _labels(deps),
        **kwargs
    )

def protopage_cc_binary(name, copts = [], deps = [], visibility = None, **kwargs):
    """cc_binary with the settings of the project: all but glibc is linked statically.

    The test <name>_dynamic_libraries_test checks this.
    """
    native.cc_binary(
        name = name,
        copts = project_copts(copts),
        linkstatic = True,
        visibility = _labels(visibility),
        deps = _labels(deps),
        **kwargs
    )
    protopage_dynamic_libraries_test(
        name = name + "_dynamic_libraries_test",
        binary = name,
    )

def protopage_dynamic_libraries_test(name, binary):
    """Fails if `binary` needs shared libraries that a plain Linux system may lack."""
    native.sh_test(
        name = name,
        size = "small",
        srcs = [project_label("//tools:dynamic_libraries_test.sh")],
        args = ["$(location {})".format(project_label(binary))],
        data = [project_label(binary)],
        # The sanitizers' runtimes are shared libraries.
        tags = ["noasan", "noubsan"],
    )

def protopage_cc_test(name, copts = [], deps = [], size = "small", **kwargs):
    """cc_test on GoogleTest, whose main() it links."""
    native.cc_test(
        name = name,
        size = size,
        copts = project_copts(copts),
        linkstatic = True,
        deps = _labels(deps) + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )

def protopage_cc_benchmark(name, copts = [], deps = [], tags = [], **kwargs):
    """A program on Google Benchmark, whose main() it links; //... excludes it."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = project_copts(copts),
        linkstatic = True,
        tags = tags + ["benchmark", "manual"],
        deps = _labels(deps) + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )

# Instruction sets that kernels are compiled for: compiler flags, and a part of each mangled name in
# the set's namespace.
_ISAS = {
    "avx2": struct(copts = ["-march=x86-64-v3"], mangled = "4avx2"),
    "avx512": struct(
        copts = [
            "-march=x86-64-v4",
            # GCC prefers vectors of 256 bits on most CPUs.
            "-mprefer-vector-width=512",
        ],
        mangled = "6avx512",
    ),
}

def protopage_isa_library(name, srcs, hdrs, copts = [], deps = [], visibility = None):
    """Compiles `srcs` once for each instruction set; the program chooses one when it starts.

    The sources define their functions in a namespace named by a macro, and the header declares them
    once for each set:

        // kernels.h
        namespace protopage {
        namespace avx2 { void Scale(float* x, int64_t n, float by); }
        namespace avx512 { void Scale(float* x, int64_t n, float by); }
        }
        // kernels.cc
        namespace protopage {
        namespace PROTOPAGE_ISA { void Scale(float* x, int64_t n, float by) {...} }
        }

    The caller chooses by GetCpuFeatures() (base/cpu_features.h).

    An inline function or a template (of std::vector, Eigen, our headers) that two sets compile has
    the same name in both. The linker would keep one of them, and a program could die of an illegal
    instruction on a smaller CPU. So the objects of a set are joined, and all symbols outside of its
    namespace are made local; the test <name>_symbol_test checks this. Eigen's namespace is renamed
    for each set, so that profiles tell them apart. Arguments and results are pointers and numbers,
    no types of Eigen; nothing throws.

    Args:
      name: of the library to depend on.
      srcs: compiled once for each set, with PROTOPAGE_ISA defined as its name.
      hdrs: the public header.
      copts: more flags for the sources, after -O3.
      deps: of the sources and the header.
      visibility: of the library.
    """
    headers = name + "_headers"
    protopage_cc_library(
        name = headers,
        hdrs = hdrs,
        visibility = ["//visibility:private"],
        deps = deps,
    )
    archives = []
    for isa, settings in _ISAS.items():
        objects = name + "_" + isa + "_objects"
        protopage_cc_library(
            name = objects,
            srcs = srcs,
            copts = ["-O3", "-DPROTOPAGE_ISA=" + isa, "-DEigen=Eigen_" + isa] +
                    settings.copts + copts,
            visibility = ["//visibility:private"],
            deps = deps + [headers],
        )
        archives.append("lib{}_{}.a".format(name, isa))
        native.genrule(
            name = name + "_" + isa + "_archive",
            srcs = [objects],
            outs = [archives[-1]],
            # The join resolves the groups (COMDAT) of inline functions. Otherwise the linker would
            # still drop a group in favour of another with the same name.
            cmd = """
                set -e
                joined=$(@D)/{name}_{isa}.o
                $(LD) -r --force-group-allocation -o $$joined \
                    --whole-archive $$(echo $(SRCS) | tr ' ' '\\n' | grep '\\.a$$' | head -n 1)
                $(OBJCOPY) --wildcard --keep-global-symbol='_ZN*{mangled}*' $$joined
                rm -f $@
                $(AR) rcsD $@ $$joined
                rm -f $$joined
            """.format(name = name, isa = isa, mangled = settings.mangled),
            toolchains = ["@bazel_tools//tools/cpp:current_cc_toolchain"],
        )
    protopage_cc_library(
        name = name,
        srcs = archives,
        visibility = visibility,
        deps = deps + [headers],
    )
    native.sh_test(
        name = name + "_symbol_test",
        size = "small",
        srcs = [project_label("//tools:isa_symbol_test.sh")],
        args = [
            "$(location {}) {}".format(archive, settings.mangled)
            for archive, settings in zip(archives, _ISAS.values())
        ],
        data = archives,
    )
