"""Compiles with clang for its warnings, above all those on thread-safety annotations.

    bazel build --aspects=//tools:clang.bzl%clang_warnings --output_groups=clang_warnings //...

The aspect has clang parse and analyse each source of a target, with the flags and headers that the
target compiles it with. clang generates no code, so this takes a fraction of the time of a build.
The toolchain stays that of g++: the check shares its output base and evicts none of its results.
tools/clang.sh runs the check. To build programs with clang, use --config=clang.
"""

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wthread-safety",
    "-Wthread-safety-beta",
    "-Werror",
    # Targets name warnings of g++ as well.
    "-Wno-unknown-warning-option",
]

_KINDS = ["cc_binary", "cc_library", "cc_test"]

def _clang_warnings_impl(target, ctx):
    rule = ctx.rule.attr
    sources = [
        file
        for file in getattr(ctx.rule.files, "srcs", [])
        if file.extension == "cc" and file.is_source
    ]
    if ctx.label.workspace_name or ctx.rule.kind not in _KINDS or not sources:
        return []

    # An aspect also visits the targets that this configuration skips: those that need nvcc.
    if rule.target_compatible_with:
        return []

    # A library's own headers are among its context; a program or test has only those of its deps.
    infos = [target[CcInfo]] if CcInfo in target else []
    infos += [dep[CcInfo] for dep in rule.deps if CcInfo in dep]
    context = cc_common.merge_cc_infos(cc_infos = infos).compilation_context

    flags = ctx.actions.args()
    flags.add_all(ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts)
    flags.add_all(rule.copts)
    flags.add_all(_WARNINGS)
    flags.add_all(depset(rule.defines + rule.local_defines), format_each = "-D%s")
    flags.add_all(depset(transitive = [context.defines]), format_each = "-D%s")
    flags.add_all(context.includes, before_each = "-I")

    # Only -isystem keeps the warnings of other projects out.
    flags.add_all([
        folder
        for folder in context.quote_includes.to_list()
        if "external/" not in folder
    ], before_each = "-iquote")
    flags.add_all(context.system_includes, before_each = "-isystem")

    checked = []
    for source in sources:
        stamp = ctx.actions.declare_file("_clang/{}/{}.checked".format(
            ctx.label.name,
            source.basename,
        ))
        ctx.actions.run_shell(
            outputs = [stamp],
            inputs = depset(ctx.rule.files.srcs, transitive = [context.headers]),
            command = 'stamp="$1"; shift; clang++ -fsyntax-only "$@" && : > "$stamp"',
            arguments = [stamp.path, flags, source.path],
            mnemonic = "ClangWarnings",
            progress_message = "Checking {} with clang".format(source.short_path),
            use_default_shell_env = True,
        )
        checked.append(stamp)
    return [OutputGroupInfo(clang_warnings = depset(checked))]

clang_warnings = aspect(
    implementation = _clang_warnings_impl,
    fragments = ["cpp"],
)
