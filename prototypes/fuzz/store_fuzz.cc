// Files of prototypes, queues and names. The fuzzer changes a small file: either its bytes as they
// are, which its checksums must find, or what they mean, with a new seal and new checksums.
//
// Changed bytes of HDF5's own structures never come with a seal that matches them: HDF5 1.10 may
// crash on such files, and the seal is what keeps them from it. Files of version 1 without a seal
// are left out for the same reason.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"
#include "protopage/base/fuzz/fuzz_checks.h"
#include "protopage/base/fuzz/fuzz_folder.h"
#include "protopage/base/fuzz/fuzz_input.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/fuzz/table_file.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/store_inspection.h"
#include "protopage/prototypes/store_scrub.h"

namespace protopage {
namespace {

// All rows of a file are read up to these.
constexpr int64_t kMostClasses = 300, kMostDim = 4096;

enum Kind { kStore, kQueues, kNames };

// A file to change.
struct Base {
  Kind kind;
  std::string bytes;
  TableFile file;
  // The bytes of the attribute format_version.
  std::string version_attribute() const {
    const size_t name = bytes.find("format_version");
    return bytes.substr(name - 8, 8 + 48);
  }
};

const FuzzFolder& Folder() {
  static FuzzFolder* const folder = new FuzzFolder("store");
  return *folder;
}

Base ReadBase(Kind kind, const std::string& name) {
  return {kind, Folder().Read(name), ReadTableFile(Folder().Path(name))};
}

// A store of 9 classes, some of them trained, some dropped.
Base MakeStore(RowState state, RowType dtype, const ClassNames* names) {
  const std::string path = Folder().Path("base.h5");
  PrototypeStoreSpec spec;
  spec.num_classes = 9;
  spec.capacity = 12;
  spec.dim = 6;
  spec.seed = 3;
  spec.row_state = state;
  spec.dtype = dtype;
  {
    const auto store = PrototypeStore::Create(path, spec, {}, names).value();
    StepRows rows;
    PROTOPAGE_CHECK(store->GatherStep({1, 4, 8}, &rows).ok());
    PROTOPAGE_CHECK(store->ScatterStep({1, 4, 8}, rows, /*step=*/17).ok());
    PROTOPAGE_CHECK(store->Scatter({5, 6}, RowMatrixXf::Identity(2, 6)).ok());
    PROTOPAGE_CHECK(store->Flush().ok() && store->Drop({3}).ok() && store->Drop({7}).ok());
  }
  Base base = ReadBase(kStore, "base.h5");
  Folder().Clear();
  return base;
}

// The same in format version 1, with a seal.
Base AsVersion1(Base base) {
  TableFile& file = base.file;
  file.integers = {
      {"format_version", 1}, {"num_classes", 9}, {"dim", 6}, {"rows_per_class", 1}, {"seed", 3}};
  file.texts.erase("generator");
  for (Hdf5Dataset& dataset : file.datasets) {
    if (dataset.name == "header") dataset.content = std::string(64, '\0');
    if (dataset.name != "dropped") continue;
    dataset.type = CellType::kUint8;
    dataset.content = std::string("\0\0\0\1\0\0\0\0\0\0\0\0", 12);
  }
  file.datasets.push_back({"names", CellType::kUint8, {12, 128}, 0, std::string(12 * 128, '\0')});
  file.datasets.back().content.replace(9 * 128, 5, "apple");
  SetChecksums(&file);
  PROTOPAGE_CHECK(WriteTableFile(Folder().Path("base.h5"), file));
  base = ReadBase(kStore, "base.h5");
  Folder().Clear();
  return base;
}

Base MakeQueues() {
  ClassQueuesOptions options;
  options.dominant_queue = 2;
  options.candidate_queue = 4;
  {
    const auto queues = ClassQueues::Create(Folder().Path("base.h5"), 9, options).value();
    const auto search = [](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> found) {
      for (size_t i = 0; i < found.size(); ++i) found[i] = (ids[i / k] + i % k + 1) % 9;
      return absl::OkStatus();
    };
    PROTOPAGE_CHECK(queues->EnsureBuilt({2, 7}, /*step=*/0, search).ok() && queues->Flush().ok());
  }
  Base base = ReadBase(kQueues, "base.h5");
  Folder().Clear();
  return base;
}

std::string LetterName(ClassId id) { return absl::StrCat("class ", std::string(1, 'a' + id)); }

std::vector<Base> MakeBases() {
  FileSystem* const fs = DefaultFileSystem();
  const std::string path = Folder().Path("names.h5");
  const auto letter = [](ClassId id) -> absl::StatusOr<std::string> { return LetterName(id); };
  PROTOPAGE_CHECK(ClassNames::Create(fs, path, 9, letter).ok());
  const auto letters = ClassNames::Open(fs, path).value();
  std::vector<Base> bases = {ReadBase(kNames, "names.h5")};
  PROTOPAGE_CHECK(ClassNames::CreateNumbered(fs, path, 9).ok());
  const auto numbers = ClassNames::Open(fs, path).value();
  bases.push_back(MakeStore(RowState::kMomentum, RowType::kFloat32, letters.get()));
  bases.push_back(MakeStore(RowState::kAdagrad, RowType::kFloat16, numbers.get()));
  bases.push_back(MakeStore(RowState::kNone, RowType::kFloat32, nullptr));
  bases.push_back(AsVersion1(bases.back()));
  bases.push_back(MakeQueues());
  return bases;
}

absl::Status Checked(const absl::Status& status) {
  CheckError(status);
  return status;
}

// All that a store says. Errors are a part of it.
std::string StoreContent(PrototypeStore* store) {
  std::string content = absl::StrCat(store->num_classes(), store->dim(), store->spec().capacity,
                                     store->num_dropped());
  const auto has_names = store->HasNames();
  absl::StrAppend(&content, Checked(has_names.status()).message(), has_names.value_or(false));
  const int64_t count = std::min(store->num_classes(), kMostClasses);
  if (store->dim() > kMostDim) return content;
  RowMatrixXf rows(count, store->dim());
  const absl::Status read = Checked(store->ReadRange(0, rows));
  absl::StrAppend(&content, read.message());
  if (read.ok()) {
    content.append(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float));
  }
  std::vector<ClassState> states(count);
  absl::StrAppend(&content, Checked(store->ReadStates(0, absl::MakeSpan(states))).message());
  for (const ClassState& state : states) absl::StrAppend(&content, state.written, state.last_step);
  const auto names = store->ReadNames(0, count);
  absl::StrAppend(&content, Checked(names.status()).message());
  std::vector<std::string> wanted = {"apple", "3", LetterName(2)};
  if (names.ok()) wanted.insert(wanted.end(), names->begin(), names->end());
  const auto found = store->FindClasses(wanted);
  absl::StrAppend(&content, Checked(found.status()).message());
  for (size_t i = 0; found.ok() && i < wanted.size(); ++i) {
    PROTOPAGE_CHECK((*found)[i] >= kNoClass && (*found)[i] < store->num_classes());
    absl::StrAppend(&content, wanted[i], (*found)[i]);
  }
  if (store->num_classes() > kMostClasses) return content;
  absl::StrAppend(&content, Checked(store->CheckNames()).message());
  const std::vector<absl::Status> damage = ScrubStore(store, /*progress=*/{});
  for (const absl::Status& status : damage) absl::StrAppend(&content, Checked(status).message());
  // What the scrub does not find, nobody does.
  if (damage.empty() && !(read.ok() && names.ok() && found.ok())) {
    std::cerr << "not found by the scrub: " << read << " " << names.status() << " "
              << found.status() << "\n";
    PROTOPAGE_CHECK(false);
  }
  ThreadPool pool(1);
  StoreInspectionOptions options;
  options.pairs = 3;
  const auto inspection = InspectStore(store, options, &pool);
  absl::StrAppend(&content, Checked(inspection.status()).message());
  if (inspection.ok()) absl::StrAppend(&content, inspection->trained, inspection->pairs.size());
  return content;
}

// Every call that changes a store, whatever the ones before it said.
void ChangeStore(const std::string& path, FuzzInput* input) {
  {
    const auto store = PrototypeStore::Open(path, {});
    if (!Checked(store.status()).ok()) return;
    if ((*store)->dim() > kMostDim || (*store)->num_classes() > kMostClasses) return;
    const ClassId last = (*store)->num_classes() - 1;
    StepRows rows;
    if (Checked((*store)->GatherStep({0, last / 2}, &rows)).ok() && last > 1) {
      Checked((*store)->ScatterStep({0, last / 2}, rows, input->Below(100))).IgnoreError();
    }
    const RowMatrixXf one = RowMatrixXf::Ones(1, (*store)->dim());
    if (Checked((*store)->Scatter({last}, one)).ok()) {
      RowMatrixXf row(1, (*store)->dim());
      PROTOPAGE_CHECK((*store)->Gather({last}, row).ok() && row == one);
    }
    Checked((*store)->WriteRange(0, one)).IgnoreError();
    if (Checked((*store)->AppendRows(one)).ok()) {
      Checked((*store)->WriteAppendedNames({"added"})).IgnoreError();
      Checked((*store)->AddAppended()).IgnoreError();
    }
    Checked((*store)->Drop({input->Below(12)})).IgnoreError();
    if (input->Below(2) == 1) Checked((*store)->ResetState()).IgnoreError();
    Checked((*store)->Flush()).IgnoreError();
    if (Checked((*store)->SaveCopy(Folder().Path("copy.h5"))).ok()) {
      const auto copy = PrototypeStore::Open(Folder().Path("copy.h5"), {});
      if (!copy.ok()) std::cerr << "of the copy: " << copy.status() << "\n";
      PROTOPAGE_CHECK(copy.ok() && (*copy)->num_classes() == (*store)->num_classes());
    }
  }
  if (Checked(PrototypeStore::Reserve(path, 20, nullptr, /*name_bytes=*/input->Below(300))).ok()) {
    const auto store = PrototypeStore::Open(path, {});
    PROTOPAGE_CHECK(Checked(store.status()).ok() && (*store)->spec().capacity >= 20);
    StoreContent(store->get());
  }
  Checked(PrototypeStore::Merge(path, input->Below(9), {input->Below(9)})).IgnoreError();
}

void TryStore(const std::string& path, bool change, FuzzInput* input) {
  PrototypeStoreOptions options;
  options.read_only = true;
  {
    const auto store = PrototypeStore::Open(path, options);
    if (!Checked(store.status()).ok()) return;
    const std::string content = StoreContent(store->get());
    const auto again = PrototypeStore::Open(path, options);
    PROTOPAGE_CHECK(again.ok() && StoreContent(again->get()) == content);
  }
  if (!change) return Folder().CheckNames({"a.h5"});
  ChangeStore(path, input);
  for (const std::string& name : Folder().Names()) {
    PROTOPAGE_CHECK(name == "a.h5" || name == "copy.h5" || absl::EndsWith(name, ".lock"));
  }
}

void TryQueues(const std::string& path, const TableFile& file) {
  ClassQueuesOptions options;
  options.dominant_queue = 2;
  options.candidate_queue = 4;
  for (const auto& [name, value] : file.integers) {
    if (name == "dominant_queue") options.dominant_queue = value;
    if (name == "candidate_queue") options.candidate_queue = value;
  }
  const auto queues = ClassQueues::Open(path, options);
  if (!Checked(queues.status()).ok()) return;
  if ((*queues)->num_classes() > kMostClasses || options.candidate_queue > kMostDim) return;
  std::vector<ClassId> ids(options.candidate_queue);
  for (ClassId c = 0; c < (*queues)->num_classes(); ++c) {
    const auto dominants = absl::MakeSpan(ids).subspan(0, options.dominant_queue);
    Checked((*queues)->Dominants(c, dominants)).IgnoreError();
    if (!Checked((*queues)->Candidates(c, absl::MakeSpan(ids))).ok()) continue;
    for (const ClassId id : ids) {
      PROTOPAGE_CHECK(id >= kNoClass && id < (*queues)->num_classes());
    }
  }
  const auto search = [](absl::Span<const ClassId>, int64_t, absl::Span<ClassId> found) {
    std::fill(found.begin(), found.end(), kNoClass);
    return absl::OkStatus();
  };
  Checked((*queues)->EnsureBuilt({0}, /*step=*/5, search)).IgnoreError();
  Checked((*queues)->ApplyMistakes({0}, {0}, {0})).IgnoreError();
  Checked((*queues)->Flush()).IgnoreError();
}

void TryNames(const std::string& path) {
  const auto names = ClassNames::Open(DefaultFileSystem(), path);
  if (!Checked(names.status()).ok()) return;
  const bool small = (*names)->num_classes() <= kMostClasses;
  const bool whole = !small || Checked((*names)->Check()).ok();
  const int64_t count = std::min((*names)->num_classes(), kMostClasses);
  for (ClassId c = 0; c < count; ++c) {
    const auto name = (*names)->Name(c);
    Checked(name.status()).IgnoreError();
    if (!name.ok() || name->empty()) continue;
    const auto found = (*names)->Find(*name);
    Checked(found.status()).IgnoreError();
    PROTOPAGE_CHECK(!small || !whole || (found.ok() && *found == c));
  }
}

void TryFile(FuzzInput input) {
  static const std::vector<Base>* const bases = new std::vector<Base>(MakeBases());
  const Base& base = (*bases)[input.Below(static_cast<int64_t>(bases->size()))];
  const std::string path = Folder().Path("a.h5");
  Folder().Clear();
  TableFile file = base.file;
  const bool change = input.Below(4) == 0;  // Slow: a store that is written starts a thread.
  if (input.Below(4) == 0) {
    std::string bytes = base.bytes;
    input.Mutate(&bytes);
    const bool sealed = bytes.size() > 32 && bytes.substr(bytes.size() - 32, 8) == "PPSEALED";
    const bool version_2 = base.file.integers.at("format_version") == 2 &&
                           absl::StrContains(bytes, base.version_attribute());
    if (!sealed && !version_2) return;
    Folder().Write("a.h5", bytes);
  } else {
    const bool checksums = input.Below(4) > 0;
    Mutate(&input, &file);
    if (checksums) SetChecksums(&file);
    if (!WriteTableFile(path, file)) return;
  }
  if (base.kind == kStore) TryStore(path, change, &input);
  if (base.kind == kQueues) TryQueues(path, file);
  if (base.kind == kNames) TryNames(path);
}

}  // namespace
}  // namespace protopage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protopage::TryFile(protopage::FuzzInput(data, size));
  return 0;
}
