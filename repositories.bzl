"""The external repositories of protopage.

A larger workspace that uses protopage calls protopage_repositories() after it
declared its own: what exists already is left alone, so its own @eigen,
@com_google_absl, @faiss ... win.
"""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")
load("//third_party:cuda_repository.bzl", "cuda_repository")
load("//third_party:system_repository.bzl", "system_repository")

# The archives of Debian 12's Abseil, 20220623.
_ABSEIL_LIBRARIES = [
    "bad_any_cast_impl",
    "bad_optional_access",
    "bad_variant_access",
    "base",
    "city",
    "civil_time",
    "cord",
    "cord_internal",
    "cordz_functions",
    "cordz_handle",
    "cordz_info",
    "cordz_sample_token",
    "debugging_internal",
    "demangle_internal",
    "examine_stack",
    "exponential_biased",
    "failure_signal_handler",
    "flags_commandlineflag",
    "flags_commandlineflag_internal",
    "flags_config",
    "flags_internal",
    "flags_marshalling",
    "flags_parse",
    "flags_private_handle_accessor",
    "flags_program_name",
    "flags_reflection",
    "flags_usage",
    "flags_usage_internal",
    "graphcycles_internal",
    "hash",
    "hashtablez_sampler",
    "int128",
    "leak_check",
    "log_severity",
    "low_level_hash",
    "malloc_internal",
    "periodic_sampler",
    "random_distributions",
    "random_internal_platform",
    "random_internal_pool_urbg",
    "random_internal_randen",
    "random_internal_randen_hwaes",
    "random_internal_randen_hwaes_impl",
    "random_internal_randen_slow",
    "random_internal_seed_material",
    "random_seed_gen_exception",
    "random_seed_sequences",
    "raw_hash_set",
    "raw_logging_internal",
    "spinlock_wait",
    "stacktrace",
    "status",
    "statusor",
    "str_format_internal",
    "strerror",
    "strings",
    "strings_internal",
    "symbolize",
    "synchronization",
    "throw_delegate",
    "time",
    "time_zone",
]

def protopage_repositories():
    """Declares each library that protopage links, from the packages of the system."""
    maybe(
        system_repository,
        name = "com_github_google_benchmark",
        debian_package = "libbenchmark-dev",
        files = {"@protopage//third_party:benchmark.BUILD": "BUILD"},
        links = {
            "include/benchmark": ["include/benchmark"],
            "lib/libbenchmark.so": ["lib/libbenchmark.so"],
            "lib/libbenchmark_main.a": ["lib/libbenchmark_main.a"],
        },
    )
    maybe(
        system_repository,
        name = "com_google_absl",
        debian_package = "libabsl-dev",
        files = {
            "@protopage//third_party/abseil:abseil.BUILD": "BUILD",
            "@protopage//third_party/abseil:algorithm.BUILD": "absl/algorithm/BUILD",
            "@protopage//third_party/abseil:base.BUILD": "absl/base/BUILD",
            "@protopage//third_party/abseil:cleanup.BUILD": "absl/cleanup/BUILD",
            "@protopage//third_party/abseil:container.BUILD": "absl/container/BUILD",
            "@protopage//third_party/abseil:debugging.BUILD": "absl/debugging/BUILD",
            "@protopage//third_party/abseil:flags.BUILD": "absl/flags/BUILD",
            "@protopage//third_party/abseil:functional.BUILD": "absl/functional/BUILD",
            "@protopage//third_party/abseil:hash.BUILD": "absl/hash/BUILD",
            "@protopage//third_party/abseil:memory.BUILD": "absl/memory/BUILD",
            "@protopage//third_party/abseil:meta.BUILD": "absl/meta/BUILD",
            "@protopage//third_party/abseil:numeric.BUILD": "absl/numeric/BUILD",
            "@protopage//third_party/abseil:random.BUILD": "absl/random/BUILD",
            "@protopage//third_party/abseil:status.BUILD": "absl/status/BUILD",
            "@protopage//third_party/abseil:strings.BUILD": "absl/strings/BUILD",
            "@protopage//third_party/abseil:synchronization.BUILD": "absl/synchronization/BUILD",
            "@protopage//third_party/abseil:time.BUILD": "absl/time/BUILD",
            "@protopage//third_party/abseil:types.BUILD": "absl/types/BUILD",
            "@protopage//third_party/abseil:utility.BUILD": "absl/utility/BUILD",
        },
        links = dict(
            [("include/absl", ["include/absl"])] +
            [
                ("lib/libabsl_%s.a" % name, ["lib/libabsl_%s.a" % name])
                for name in _ABSEIL_LIBRARIES
            ],
        ),
    )
    maybe(
        system_repository,
        name = "com_google_googletest",
        debian_package = "libgmock-dev",
        files = {"@protopage//third_party:googletest.BUILD": "BUILD"},
        links = {
            "include/gmock": ["include/gmock"],
            "include/gtest": ["include/gtest"],
            "lib/libgmock.a": ["lib/libgmock.a"],
            "lib/libgmock_main.a": ["lib/libgmock_main.a"],
            "lib/libgtest.a": ["lib/libgtest.a"],
        },
    )
    maybe(cuda_repository, name = "cuda")
    maybe(
        system_repository,
        name = "eigen",
        debian_package = "libeigen3-dev",
        files = {"@protopage//third_party:eigen.BUILD": "BUILD"},
        links = {
            "Eigen": ["include/eigen3/Eigen"],
            "unsupported": ["include/eigen3/unsupported"],
        },
    )
    maybe(
        system_repository,
        name = "faiss",
        debian_package = "libfaiss-dev g++",
        files = {"@protopage//third_party:faiss.BUILD": "BUILD"},
        links = {
            "include/faiss": ["include/faiss"],
            "lib/libfaiss.a": ["lib/libfaiss.a"],
            "lib/libgomp.a": ["lib/gcc/x86_64-linux-gnu/12/libgomp.a"],
        },
    )
    maybe(
        system_repository,
        name = "boost_context",
        debian_package = "libboost-context1.74-dev",
        files = {"@protopage//third_party:boost_context.BUILD": "BUILD"},
        links = {
            "include/boost/config": ["include/boost/config"],
            "include/boost/config.hpp": ["include/boost/config.hpp"],
            "include/boost/context": ["include/boost/context"],
            "include/boost/cstdint.hpp": ["include/boost/cstdint.hpp"],
            "lib/libboost_context.a": ["lib/libboost_context.a"],
        },
    )
    maybe(
        system_repository,
        name = "brotli",
        debian_package = "libbrotli-dev",
        files = {"@protopage//third_party:brotli.BUILD": "BUILD"},
        links = {
            "include/brotli": ["include/brotli"],
            "lib/libbrotlicommon.a": ["lib/libbrotlicommon.a"],
            "lib/libbrotlidec.a": ["lib/libbrotlidec.a"],
        },
    )
    maybe(
        system_repository,
        name = "freetype",
        debian_package = "libfreetype-dev",
        files = {"@protopage//third_party:freetype.BUILD": "BUILD"},
        links = {
            "include/freetype": ["include/freetype2/freetype"],
            "include/ft2build.h": ["include/freetype2/ft2build.h"],
            "lib/libfreetype.a": ["lib/libfreetype.a"],
        },
    )
    maybe(
        system_repository,
        name = "hdf5",
        debian_package = "libhdf5-dev",
        files = {"@protopage//third_party:hdf5.BUILD": "BUILD"},
        links = {
            "include": ["include/hdf5/serial"],
            "lib/libhdf5.a": ["lib/libhdf5_serial.a"],
        },
    )
    maybe(
        system_repository,
        name = "libaec",
        debian_package = "libaec-dev",
        files = {"@protopage//third_party:libaec.BUILD": "BUILD"},
        links = {
            "include/libaec.h": ["include/libaec.h"],
            "include/szlib.h": ["include/szlib.h"],
            "lib/libaec.a": ["lib/libaec.a"],
            "lib/libsz.a": ["lib/libsz.a"],
        },
    )
    maybe(
        system_repository,
        name = "libjpeg_turbo",
        debian_package = "libjpeg62-turbo-dev libturbojpeg0-dev",
        files = {"@protopage//third_party:libjpeg_turbo.BUILD": "BUILD"},
        links = {
            "include/jconfig.h": ["include/jconfig.h"],
            "include/jerror.h": ["include/jerror.h"],
            "include/jmorecfg.h": ["include/jmorecfg.h"],
            "include/jpeglib.h": ["include/jpeglib.h"],
            "include/turbojpeg.h": ["include/turbojpeg.h"],
            "lib/libjpeg.a": ["lib/libjpeg.a"],
            "lib/libturbojpeg.a": ["lib/libturbojpeg.a"],
        },
    )
    maybe(
        system_repository,
        name = "libpng",
        debian_package = "libpng-dev",
        files = {"@protopage//third_party:libpng.BUILD": "BUILD"},
        links = {
            "include/png.h": ["include/libpng16/png.h"],
            "include/pngconf.h": ["include/libpng16/pngconf.h"],
            "include/pnglibconf.h": ["include/libpng16/pnglibconf.h"],
            "lib/libpng16.a": ["lib/libpng16.a"],
        },
    )
    maybe(
        system_repository,
        name = "nlohmann_json",
        debian_package = "nlohmann-json3-dev",
        files = {"@protopage//third_party:nlohmann_json.BUILD": "BUILD"},
        links = {"include/nlohmann": ["include/nlohmann"]},
    )
    maybe(
        system_repository,
        name = "openblas",
        debian_package = "libopenblas-pthread-dev libgfortran-12-dev g++",
        files = {"@protopage//third_party:openblas.BUILD": "BUILD"},
        links = {
            "include/cblas.h": ["include/openblas-pthread/cblas.h"],
            "include/openblas_config.h": ["include/openblas-pthread/openblas_config.h"],
            "lib/libgfortran.a": ["lib/gcc/x86_64-linux-gnu/12/libgfortran.a"],
            "lib/libopenblas.a": ["lib/openblas-pthread/libopenblas.a"],
            "lib/libquadmath.a": ["lib/gcc/x86_64-linux-gnu/12/libquadmath.a"],
        },
    )
    maybe(
        system_repository,
        name = "xxhash",
        debian_package = "libxxhash-dev",
        files = {"@protopage//third_party:xxhash.BUILD": "BUILD"},
        links = {
            "include/xxhash.h": ["include/xxhash.h"],
            "lib/libxxhash.a": ["lib/libxxhash.a"],
        },
    )
    maybe(
        system_repository,
        name = "zlib",
        debian_package = "zlib1g-dev",
        files = {"@protopage//third_party:zlib.BUILD": "BUILD"},
        links = {
            "include/zconf.h": ["include/zconf.h"],
            "include/zlib.h": ["include/zlib.h"],
            "lib/libz.a": ["lib/libz.a"],
        },
    )

def debian_bazel_repositories():
    """Declares what Bazel 4.2 loads by itself, from Debian's packages and small shims.

    For a workspace that is built with Debian's Bazel and without a network.
    """
    maybe(
        system_repository,
        name = "rules_cc",
        debian_package = "bazel-bootstrap",
        files = {
            "@protopage//third_party/bazel:empty.BUILD": "BUILD",
            "@protopage//third_party/bazel:rules_cc.BUILD": "cc/BUILD",
            "@protopage//third_party/bazel:rules_cc_defs.bzl": "cc/defs.bzl",
        },
    )
    maybe(
        system_repository,
        name = "remote_coverage_tools",
        debian_package = "bazel-bootstrap",
        files = {"@protopage//third_party/bazel:remote_coverage_tools.BUILD": "BUILD"},
    )
    maybe(
        native.local_repository,
        name = "rules_java",
        path = "/usr/share/bazel/rules/java",
    )
    maybe(
        native.local_repository,
        name = "rules_proto",
        path = "/usr/share/bazel/rules/proto",
    )
    maybe(
        native.local_repository,
        name = "platforms",
        path = "/usr/share/bazel/tools/platforms",
    )
    maybe(
        native.local_repository,
        name = "bazel_skylib",
        path = "/usr/share/bazel/tools/skylib",
    )
