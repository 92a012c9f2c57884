// The cost of the names of many classes: time and memory to write them, bytes on disk, and the time
// to find one.
//
//   bazel run -c opt //prototypes:class_names_benchmark -- --directory=/data/scratch
//       [--classes=10000000] [--numbered=100000000] [--finds=100000]
//
// Memory is the most that the process had, without the program itself. `cold` finds come first,
// when the index was just written, so most of it is in the page cache unless memory is small.
#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/prototypes/class_names.h"

namespace protopage {
namespace {

struct Flags {
  std::string directory;
  int64_t classes = 10'000'000;
  int64_t numbered = 100'000'000;
  int64_t finds = 100'000;
};

// About as long as the names of folders are.
std::string NameOf(ClassId id) {
  RandomStream random(1, RandomPurpose::kTest, static_cast<uint64_t>(id));
  return absl::StrFormat("person_%08x_%010d", random.Next(), id);
}

double PeakMebibytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

absl::Status Measure(const Flags& flags, bool numbered) {
  FileSystem* const fs = DefaultFileSystem();
  const int64_t classes = numbered ? flags.numbered : flags.classes;
  const std::string path = JoinPath(flags.directory, "class_names_benchmark.h5");
  const double before = PeakMebibytes();
  Stopwatch build;
  PROTOPAGE_RETURN_IF_ERROR(
      numbered
          ? ClassNames::CreateNumbered(fs, path, classes)
          : ClassNames::Create(fs, path, classes, [](ClassId id) -> absl::StatusOr<std::string> {
              return NameOf(id);
            }));
  const double build_seconds = build.Seconds();
  PROTOPAGE_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t bytes, file->Size());
  PROTOPAGE_ASSIGN_OR_RETURN(const auto names, ClassNames::Open(fs, path));
  std::vector<ClassId> ids;
  std::vector<std::string> wanted;
  RandomStream random(2, RandomPurpose::kTest, 0);
  for (int64_t i = 0; i < flags.finds; ++i) {
    ids.push_back(static_cast<ClassId>(random.Below(classes)));
    wanted.push_back(numbered ? absl::StrCat(ids.back()) : NameOf(ids.back()));
  }
  double find_micros[2];
  for (double& micros : find_micros) {
    Stopwatch find;
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<ClassId> found, names->FindAll(wanted));
    micros = find.Seconds() * 1e6 / static_cast<double>(flags.finds);
    if (found != ids) return absl::InternalError("a name was not found");
  }
  Stopwatch compare;
  if (!numbered) {
    PROTOPAGE_ASSIGN_OR_RETURN(
        const ClassNamesPlan plan,
        ClassNames::Plan(classes,
                         [](ClassId id) -> absl::StatusOr<std::string> { return NameOf(id); }));
    if (!names->IsEqual(plan)) return absl::InternalError("the fingerprint differs");
  }
  const double compare_seconds = compare.Seconds();
  Stopwatch check;
  PROTOPAGE_RETURN_IF_ERROR(names->Check());
  std::cout << absl::StreamFormat(
      "%-9s %11d classes: written in %.1f s, %.1f bytes a class, %.0f MiB of memory; found in "
      "%.2f us at first, then %.2f us; compared in %.1f s, checked in %.1f s\n",
      numbered ? "numbered" : "named", classes, build_seconds,
      static_cast<double>(bytes) / static_cast<double>(classes), PeakMebibytes() - before,
      find_micros[0], find_micros[1], compare_seconds, check.Seconds());
  std::cout.flush();
  return fs->Remove(path);
}

absl::Status Run(const Flags& flags) {
  if (flags.directory.empty()) return absl::InvalidArgumentError("--directory is missing");
  PROTOPAGE_RETURN_IF_ERROR(Measure(flags, /*numbered=*/true));
  return Measure(flags, /*numbered=*/false);
}

bool ParseFlag(absl::string_view argument, Flags* flags) {
  const struct {
    const char* name;
    int64_t* value;
  } kNumbers[] = {{"--classes=", &flags->classes},
                  {"--numbered=", &flags->numbered},
                  {"--finds=", &flags->finds}};
  for (const auto& number : kNumbers) {
    if (!absl::StartsWith(argument, number.name)) continue;
    argument.remove_prefix(absl::string_view(number.name).size());
    return absl::SimpleAtoi(argument, number.value);
  }
  constexpr absl::string_view kDirectory = "--directory=";
  if (!absl::StartsWith(argument, kDirectory)) return false;
  flags->directory = std::string(argument.substr(kDirectory.size()));
  return true;
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  protopage::Flags flags;
  for (int i = 1; i < argc; ++i) {
    if (protopage::ParseFlag(argv[i], &flags)) continue;
    std::cerr << "unknown flag " << argv[i] << "\n";
    return EXIT_FAILURE;
  }
  const absl::Status status = protopage::Run(flags);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << status << "\n";
  return EXIT_FAILURE;
}
