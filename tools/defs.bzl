"""The macros that every BUILD file of protopage uses.

They add the flags of the project, static linking, and the prefix of the includes: a header is
included by the name of the project and its path from the project's root,

    #include "protopage/prototypes/prototype_store.h"

wherever it lies: in this repository, in another workspace that has it as an external repository,
or vendored below a folder of another workspace. A file of the host can have the same path without
being taken for ours. To vendor, set ROOT below, and rewrite the load lines:

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

def project_label(label):
    """`label` as seen from the workspace that protopage lies in."""
    if ROOT and label.startswith("//"):
        return "//" + ROOT + "/" + label[2:]
    return label

def _labels(labels):
    # A select() cannot be looked into; write its labels relative to the package.
    return [project_label(label) for label in labels] if type(labels) == "list" else labels

def _include_prefix():
    """Bazel puts links to the headers of a library below a folder of its own, at this path."""
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

    A test, <name>_dynamic_libraries_test, holds that.
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
    """Fails if `binary` needs shared libraries that a plain Linux system may not have."""
    native.sh_test(
        name = name,
        size = "small",
        srcs = [project_label("//tools:dynamic_libraries_test.sh")],
        args = ["$(location {})".format(project_label(binary))],
        data = [project_label(binary)],
        # A sanitizer is a shared library.
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
    """A program on Google Benchmark, whose main() it links; //... leaves it out."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = project_copts(copts),
        linkstatic = True,
        tags = tags + ["benchmark", "manual"],
        deps = _labels(deps) + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )

# Instruction sets that kernels are compiled for, the flags of each, and what a
# mangled name in the namespace of that set contains.
_ISAS = {
    "avx2": struct(copts = ["-march=x86-64-v3"], mangled = "4avx2"),
    "avx512": struct(
        copts = [
            "-march=x86-64-v4",
            # GCC prefers 256 bits on most CPUs; who asks for these kernels wants 512.
            "-mprefer-vector-width=512",
        ],
        mangled = "6avx512",
    ),
}

def protopage_isa_library(name, srcs, hdrs, copts = [], deps = [], visibility = None):
    """Compiles `srcs` once for each instruction set, to be chosen when the program starts.

    The sources put what they define in a namespace whose name is a macro, and
    the header declares it once for each set:

        // kernels.h
        namespace protopage {
        namespace avx2 { void Scale(float* x, int64_t n, float by); }
        namespace avx512 { void Scale(float* x, int64_t n, float by); }
        }
        // kernels.cc
        namespace protopage {
        namespace PROTOPAGE_ISA { void Scale(float* x, int64_t n, float by) {...} }
        }

    The caller picks one by GetCpuFeatures() (base/cpu_features.h). The trap is that
    an inline function or a template (std::vector, Eigen, our own headers) that
    both compile has one name; the linker keeps one of the two, and the program
    dies of an illegal instruction on a smaller CPU. So the objects of a set are
    joined and every symbol outside of its namespace is made local; a test,
    <name>_symbol_test, looks at what is left. Eigen's namespace is renamed as
    well, for who reads a profile. What crosses the border is plain: pointers
    and numbers, no Eigen types; nothing throws.

    Args:
      name: of the library to depend on.
      srcs: compiled once for each set, with PROTOPAGE_ISA defined as its name.
      hdrs: the public header.
      copts: more flags for the sources; -O3 is there already.
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
            # Groups of inline functions are resolved in the join, or the linker
            # would still drop a group for another of the same name.
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
