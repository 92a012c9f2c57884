// Writes small files of the format that this program writes, which format_compatibility_test reads
// for ever after:
//
//   ./bazelw run //prototypes/testing:write_format_files -- --directory=$PWD/prototypes/testdata
//
// The names have the format version: prototypes_2.h5, queues_2.h5, class_names_2.h5. Files of a
// version that is released are never written again.
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/paged_table.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 9, kDim = 20;

absl::Status WriteStore(const std::string& path, const ClassNames& names) {
  PrototypeStoreSpec spec;
  spec.num_classes = kClasses;
  spec.capacity = 12;
  spec.dim = kDim;
  spec.seed = 3;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Create(path, spec, {}, &names));
  StepRows rows;
  PROTOPAGE_RETURN_IF_ERROR(store->GatherStep({1, 4, 8}, &rows));
  const int trained[] = {1, 4, 8};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < kDim; ++j) {
      rows.rows(i, j) = trained[i] + 0.25f * j;
      rows.state(i, j) = -0.5f * trained[i] - j;
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep({1, 4, 8}, rows, /*step=*/17));
  RowMatrixXf imprinted(2, kDim);
  for (int j = 0; j < kDim; ++j) {
    imprinted(0, j) = j;
    imprinted(1, j) = 100 + j;
  }
  PROTOPAGE_RETURN_IF_ERROR(store->Scatter({5, 6}, imprinted));
  PROTOPAGE_RETURN_IF_ERROR(store->Flush());
  return store->Drop({3, 7});
}

absl::Status WriteQueues(const std::string& path) {
  ClassQueuesOptions options;
  options.dominant_queue = 2;
  options.candidate_queue = 4;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto queues, ClassQueues::Create(path, kClasses, options));
  // The neighbours of c are c + 1, c + 2, ...
  const auto search = [](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
    for (size_t i = 0; i < ids.size(); ++i) {
      for (int64_t j = 0; j < k; ++j) neighbors[i * k + j] = (ids[i] + j + 1) % kClasses;
    }
    return absl::OkStatus();
  };
  PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt({2, 7}, /*step=*/0, search));
  PROTOPAGE_RETURN_IF_ERROR(
      queues->ApplyMistakes(/*classes=*/{2, 6}, /*slots=*/{0}, /*predicted=*/{1}));
  return queues->Flush();
}

absl::Status Write(const std::string& directory) {
  const auto path = [&](absl::string_view name) {
    return JoinPath(directory, absl::StrCat(name, "_", PagedTable::kFormatVersion, ".h5"));
  };
  const auto name = [](ClassId c) -> absl::StatusOr<std::string> {
    return absl::StrCat("class ", std::string(1, static_cast<char>('a' + c)));
  };
  PROTOPAGE_RETURN_IF_ERROR(
      ClassNames::Create(DefaultFileSystem(), path("class_names"), kClasses, name));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto names,
                             ClassNames::Open(DefaultFileSystem(), path("class_names")));
  PROTOPAGE_RETURN_IF_ERROR(WriteStore(path("prototypes"), *names));
  return WriteQueues(path("queues"));
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  absl::string_view directory = argc == 2 ? argv[1] : "";
  if (!absl::ConsumePrefix(&directory, "--directory=")) {
    std::cerr << "usage: write_format_files --directory=DIR\n";
    return 2;
  }
  const absl::Status status = protopage::Write(std::string(directory));
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
