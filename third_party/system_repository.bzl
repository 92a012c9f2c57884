"""A repository made of files that a Debian package installed on this machine."""

# A link target that starts with one of these words is looked for in each of
# the folders, in order, so that other layouts of a Linux system work as well.
_SEARCH = {
    "include": [
        "/usr/include",
        "/usr/include/x86_64-linux-gnu",
        "/usr/local/include",
    ],
    "lib": [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
    ],
}

def _candidates(target):
    """The absolute paths that `target`, such as "lib/libz.a", may stand for."""
    if target.startswith("/"):
        return [target]
    kind, _, rest = target.partition("/")
    return [folder + "/" + rest for folder in _SEARCH[kind]]

def _impl(ctx):
    for destination, targets in ctx.attr.links.items():
        tried = [path for target in targets for path in _candidates(target)]
        found = [path for path in tried if ctx.path(path).exists]
        if not found:
            fail(("\n\n@{repo} needs what Debian 12 has in {package}: " +
                  "none of {tried} exists.\nRun ./bazelw, which installs what is missing, or: " +
                  "apt-get install {package}\n").format(
                repo = ctx.name,
                package = ctx.attr.debian_package,
                tried = ", ".join(tried),
            ))
        ctx.symlink(found[0], destination)
    for label, destination in ctx.attr.files.items():
        ctx.symlink(label, destination)
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))

system_repository = repository_rule(
    implementation = _impl,
    attrs = {
        "debian_package": attr.string(
            mandatory = True,
            doc = "Named in the error when a link has no target.",
        ),
        "files": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "Our own files (BUILD files above all) and where they go.",
        ),
        "links": attr.string_list_dict(
            doc = "Where a link goes -> what it may point to; the first that exists is taken.",
        ),
    },
    configure = True,
    local = True,
    doc = "Links system headers and static libraries into a repository of their own, " +
          "so that a target sees the headers of its dependencies and no others.",
)
