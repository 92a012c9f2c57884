"""CUDA code, compiled by nvcc, and the same code compiled by g++ for a machine without a GPU.

    load("//tools:cuda.bzl", "protopage_cuda_library", "protopage_cuda_test")

    protopage_cuda_library(
        name = "kernels",
        srcs = ["kernels.cc"],
        hdrs = ["kernels.h"],
        cuda_deps = [":platform"],
        deps = ["//base:check"],
    )

makes two libraries that define the same symbols; a program links one of them:

    :kernels           compiled by nvcc; exists with --config=cuda only
    :kernels_emulated  compiled by g++ with PROTOPAGE_CUDA_EMULATION defined, without any
                       header of CUDA, against model/cuda/emulation; always exists

protopage_cuda_test makes two tests in the same way. A target of plain C++ selects its
dependencies on CUDA by if_cuda().

third_party/cuda_repository.bzl finds the toolkit. A build without --config=cuda needs none
and skips the targets that need nvcc.
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("//third_party:cuda_repository.bzl", "CudaToolkitInfo")
load(
    "//tools:defs.bzl",
    "project_copts",
    "project_label",
    "protopage_cc_library",
    "protopage_cc_test",
)

# The compute capabilities that machine code is generated for: those of A100 and H100. Code
# for 8.0 also runs on 8.6 and 8.9. There is no PTX: a user's driver would compile it to code
# that was never tested.
_ARCHITECTURES = ["80", "90"]

_NVCC_FLAGS = [
    "-std=c++17",
    # For the same bits as in the emulation: a*b+c is fused only in fmaf(), as with
    # -ffp-contract=off of g++.
    "-fmad=false",
    # Allows std::min and other constexpr functions in device code.
    "--expt-relaxed-constexpr",
    # A kernel that spills registers to memory is slow; with --config=ci the warning is an error.
    "-Xptxas=--warn-on-spills",
    # Compiles for two architectures at once.
    "--threads=2",
]

def _host_flags(ctx, cc_toolchain, context):
    """The flags of g++ for a source, except those that nvcc cannot pass on."""
    feature_configuration = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    variables = cc_common.create_compile_variables(
        feature_configuration = feature_configuration,
        cc_toolchain = cc_toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts,
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = depset(transitive = [context.defines, context.local_defines]),
    )
    flags = cc_common.get_memory_inefficient_command_line(
        feature_configuration = feature_configuration,
        action_name = CPP_COMPILE_ACTION_NAME,
        variables = variables,
    )

    # nvcc sets the version of the language itself. It would split a flag with a comma, and
    # lose the quotes of Bazel's redacted __DATE__.
    return [
        flag
        for flag in flags
        if not flag.startswith("-std=") and "," not in flag and "\"" not in flag
    ]

def _cuda_objects_impl(ctx):
    toolkit = ctx.attr._toolkit[CudaToolkitInfo]
    if toolkit.missing:
        fail(("\n\n{}\nSet CUDA_HOME to the folder of a CUDA 12 or 13 toolkit, or build without " +
              "--config=cuda.\n").format(toolkit.missing))
    cc_toolchain = find_cpp_toolchain(ctx)
    context = cc_common.merge_cc_infos(
        cc_infos = [dep[CcInfo] for dep in ctx.attr.deps],
    ).compilation_context

    flags = ctx.actions.args()
    flags.add_all(_NVCC_FLAGS)
    for architecture in _ARCHITECTURES:
        flags.add("-gencode=arch=compute_{0},code=sm_{0}".format(architecture))
    flags.add(cc_toolchain.compiler_executable, format = "-ccbin=%s")
    host = _host_flags(ctx, cc_toolchain, context)
    if "-Werror" in host:
        flags.add_all(["-Werror", "all-warnings"])

    flags.add_all(host, format_each = "-Xcompiler=%s")

    objects = []
    for source in ctx.files.srcs:
        if source.extension != "cc":
            continue
        object = ctx.actions.declare_file("_cuda/{}/{}.o".format(
            ctx.label.name,
            source.basename[:-len(".cc")],
        ))
        ctx.actions.run(
            outputs = [object],
            inputs = depset(
                ctx.files.srcs + [toolkit.version_file],
                transitive = [context.headers, cc_toolchain.all_files],
            ),
            executable = toolkit.nvcc,
            arguments = [
                flags,
                "-x",
                "cu",
                "-c",
                source.path,
                "-o",
                object.path,
            ],
            # nvcc calls cicc, ptxas and cp by name.
            env = {"PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"},
            mnemonic = "CudaCompile",
            progress_message = "Compiling {} with nvcc".format(source.short_path),
        )
        objects.append(object)
    return [DefaultInfo(files = depset(objects))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "copts": attr.string_list(),
        "deps": attr.label_list(providers = [CcInfo]),
        "srcs": attr.label_list(allow_files = [".cc", ".h"]),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
        "_toolkit": attr.label(
            default = "@cuda//:toolkit",
            providers = [CudaToolkitInfo],
        ),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)

def if_cuda(labels, otherwise = []):
    """`labels` with --config=cuda, else `otherwise`; labels relative to the package."""
    return select({
        project_label("//tools:cuda"): labels,
        "//conditions:default": otherwise,
    })

def access_hook_copts():
    """For emulated kernels: with --config=races they report their accesses.

    See model/cuda/emulation/access_hooks.h.
    """
    return select({
        # The runtime of ThreadSanitizer is not linked.
        project_label("//tools:races"): ["-fsanitize=thread"],
        "//conditions:default": [],
    })

def _only_with_cuda():
    return if_cuda([], [project_label("//tools:needs_config_cuda")])

def _emulated(label):
    """The twin of a protopage_cuda_library."""
    return label + "_emulated" if ":" in label else label + ":" + label.split("/")[-1] + "_emulated"

def protopage_cuda_library(
        name,
        srcs,
        hdrs = [],
        deps = [],
        cuda_deps = [],
        emulated_srcs = None,
        emulated_deps = [],
        kernels = False,
        copts = [],
        testonly = False,
        visibility = None,
        alwayslink = False):
    """A library whose sources nvcc compiles, and its twin <name>_emulated.

    Args:
      name: the name of the library, which exists with --config=cuda only.
      srcs: .cc files, compiled as CUDA C++, and private headers.
      hdrs: the public headers.
      deps: plain C++ libraries.
      cuda_deps: protopage_cuda_library targets; the twin depends on their twins.
      emulated_srcs: the sources of the twin, if they are not `srcs`.
      emulated_deps: further dependencies of the twin.
      kernels: whether `srcs` have kernels, which report their accesses with --config=races.
      copts: further flags for g++, in both.
      testonly: applies to both.
      visibility: applies to both.
      alwayslink: applies to both.
    """
    headers = name + "_cuda_headers"
    objects = name + "_cuda_objects"

    # The headers that the objects are compiled against.
    protopage_cc_library(
        name = headers,
        hdrs = hdrs,
        testonly = testonly,
        target_compatible_with = _only_with_cuda(),
        visibility = ["//visibility:private"],
        deps = deps + cuda_deps,
    )
    if srcs:
        _cuda_objects(
            name = objects,
            testonly = testonly,
            srcs = srcs,
            copts = project_copts(copts),
            target_compatible_with = _only_with_cuda(),
            visibility = ["//visibility:private"],
            deps = [headers],
        )
    protopage_cc_library(
        name = name,
        srcs = [objects] if srcs else [],
        hdrs = hdrs,
        alwayslink = alwayslink,
        target_compatible_with = _only_with_cuda(),
        testonly = testonly,
        visibility = visibility,
        deps = deps + cuda_deps + ["@cuda//:cudart"],
    )
    protopage_cc_library(
        name = name + "_emulated",
        srcs = srcs if emulated_srcs == None else emulated_srcs,
        hdrs = hdrs,
        alwayslink = alwayslink,
        copts = copts + (access_hook_copts() if kernels else []),
        # Also for targets that include the headers.
        defines = ["PROTOPAGE_CUDA_EMULATION"],
        testonly = testonly,
        visibility = visibility,
        deps = deps + emulated_deps + [_emulated(dep) for dep in cuda_deps],
    )

def protopage_cuda_test(
        name,
        srcs,
        deps = [],
        cuda_deps = [],
        copts = [],
        size = "small",
        tags = [],
        **kwargs):
    """A GoogleTest that needs a GPU, and its twin <name>_emulated, which needs none.

    Args:
      name: the name of the test, which exists with --config=cuda only; tagged gpu, exclusive.
      srcs: compiled like those of a protopage_cuda_library.
      deps: plain C++ libraries.
      cuda_deps: protopage_cuda_library targets; the twin depends on their twins.
      copts: further flags for g++, in both.
      size: applies to both.
      tags: apply to both.
      **kwargs: arguments of the cc_test of both.
    """
    protopage_cuda_library(
        name = name + "_cases",
        srcs = srcs,
        alwayslink = True,
        copts = copts,
        cuda_deps = cuda_deps,
        testonly = True,
        visibility = ["//visibility:private"],
        deps = deps + ["@com_google_googletest//:gtest"],
    )
    protopage_cc_test(
        name = name,
        size = size,
        tags = tags + ["exclusive", "gpu"],
        target_compatible_with = _only_with_cuda(),
        deps = [":" + name + "_cases"],
        **kwargs
    )
    protopage_cc_test(
        name = name + "_emulated",
        size = size,
        tags = tags,
        deps = [":" + name + "_cases_emulated"],
        **kwargs
    )
