"""@cuda: the CUDA toolkit of this machine, if it has one.

The toolkit is searched in CUDA_HOME if that is set, else in /usr/local/cuda, else
around the nvcc on PATH. A machine without one can load the workspace and build all
targets that do not need CUDA: the first action that needs it reports what is missing.
"""

CudaToolkitInfo = provider(
    doc = "The CUDA toolkit, or the reason why there is none.",
    fields = {
        "missing": "A message why there is no toolkit; empty if there is one.",
        "nvcc": "The path of the compiler.",
        "version_file": "A File that changes with the toolkit: an input of actions in place of " +
                        "the toolkit's own compiler and headers.",
    },
)

def _toolkit_impl(ctx):
    return [CudaToolkitInfo(
        missing = ctx.attr.missing,
        nvcc = ctx.attr.nvcc,
        version_file = ctx.file.version_file,
    )]

cuda_toolkit = rule(
    implementation = _toolkit_impl,
    attrs = {
        "missing": attr.string(),
        "nvcc": attr.string(),
        "version_file": attr.label(allow_single_file = True, mandatory = True),
    },
    provides = [CudaToolkitInfo],
)

_BUILD = """load("@protopage//third_party:cuda_repository.bzl", "cuda_toolkit")

package(default_visibility = ["//visibility:public"])

cuda_toolkit(
    name = "toolkit",
    missing = {missing},
    nvcc = {nvcc},
    version_file = "version.txt",
)

# The CUDA runtime, linked statically. It loads the library of the driver at its first
# call, so that a program starts on a machine without a driver.
cc_library(
    name = "cudart",
    srcs = {archives},
    linkopts = ["-ldl", "-lpthread", "-lrt"],
    linkstatic = True,
)
"""

def _find(ctx):
    """The folder of the toolkit or None, and the places that were searched."""
    tried = []
    folders = []
    home = ctx.os.environ.get("CUDA_HOME", "")
    if home:
        # If CUDA_HOME is set, no other toolkit is used.
        folders.append((home, "CUDA_HOME"))
    else:
        folders.append(("/usr/local/cuda", "the usual place"))
        on_path = ctx.which("nvcc")
        if on_path:
            folders.append((str(on_path.realpath.dirname.dirname), "of nvcc on PATH"))
    for folder, why in folders:
        tried.append("{} ({})".format(folder, why))
        if folder.startswith("/") and ctx.path(folder + "/bin/nvcc").exists:
            return folder, tried
    if not home and not ctx.which("nvcc"):
        tried.append("nvcc on PATH")
    return None, tried

def _impl(ctx):
    folder, tried = _find(ctx)
    missing = ""
    archives = []
    version = ""
    if folder:
        result = ctx.execute([folder + "/bin/nvcc", "--version"])
        version = folder + "\n" + result.stdout
        if result.return_code:
            missing = "{}/bin/nvcc --version failed: {}".format(folder, result.stderr.strip())
        candidates = [
            folder + "/lib64/libcudart_static.a",
            folder + "/lib/libcudart_static.a",
            folder + "/targets/x86_64-linux/lib/libcudart_static.a",
        ]
        found = [path for path in candidates if ctx.path(path).exists]
        if found:
            ctx.symlink(found[0], "lib/libcudart_static.a")
            archives.append("lib/libcudart_static.a")
        elif not missing:
            missing = "the CUDA toolkit in {} has no libcudart_static.a; searched {}".format(
                folder,
                ", ".join(candidates),
            )
    else:
        missing = "no CUDA toolkit: bin/nvcc is not in " + ", nor in ".join(tried)
    ctx.file("version.txt", version)
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))
    ctx.file("BUILD", _BUILD.format(
        archives = repr(archives),
        missing = repr(missing),
        nvcc = repr(folder + "/bin/nvcc" if folder else ""),
    ))

cuda_repository = repository_rule(
    implementation = _impl,
    configure = True,
    environ = ["CUDA_HOME", "PATH"],
    local = True,
    doc = "Describes the CUDA toolkit of this machine, or that there is none.",
)
