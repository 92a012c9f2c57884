// The log of a run: segments whose bytes are changed, as they are or with new checksums, so that
// what is behind the checksums is reached, and the header of the main file. The log is opened for
// reading and for writing at a checkpoint, and written on.
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
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
#include "protopage/base/types.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/store_scrub.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/log_segment.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 9, kDim = 6;
constexpr int64_t kCheckpoints[] = {10, 20, 30};
constexpr char kMain[] = "prototypes.h5", kLog[] = "log";

const FuzzFolder& Folder() {
  static FuzzFolder* const folder = new FuzzFolder("log");
  return *folder;
}

TableLogOptions LogOptions() {
  TableLogOptions options;
  options.background = false;
  options.nonce = [] { return 7; };
  return options;
}

absl::Status Checked(const absl::Status& status) {
  CheckError(status);
  return status;
}

// The files of a run with three checkpoints, and the rows of each.
struct Base {
  std::map<std::string, std::string> files;
  std::map<int64_t, std::string> rows;
  std::vector<std::string> segments;  // Names.
  int64_t header_offset = 0;          // In the main file.
};

// All rows at a checkpoint, or an error.
absl::StatusOr<std::string> ReadRows(int64_t checkpoint) {
  const auto log = TableLog::OpenReadOnly(DefaultFileSystem(), Folder().Path(kLog), checkpoint);
  if (!log.ok()) return Checked(log.status());
  PrototypeStoreOptions options;
  options.log = log->get();
  options.read_only = true;
  const auto store = PrototypeStore::Open(Folder().Path(kMain), options);
  if (!store.ok()) return Checked(store.status());
  RowMatrixXf rows((*store)->num_classes(), (*store)->dim());
  const absl::Status status = Checked((*store)->ReadRange(0, rows));
  for (const absl::Status& damage : ScrubStore(store->get(), {})) CheckError(damage);
  if (!status.ok()) return status;
  StepRows step;
  const absl::Status gathered = Checked((*store)->GatherStep({0, 4, 8}, &step));
  if (!gathered.ok()) return gathered;
  return std::string(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float));
}

Base MakeBase() {
  FileSystem* const fs = DefaultFileSystem();
  {
    const auto log = TableLog::Create(fs, Folder().Path(kLog), LogOptions()).value();
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kDim;
    PrototypeStoreOptions options;
    options.log = log.get();
    const auto store = PrototypeStore::Create(Folder().Path(kMain), spec, options).value();
    for (const int64_t checkpoint : kCheckpoints) {
      StepRows rows;
      const std::vector<ClassId> ids = {0, checkpoint / 10, 4, 8};
      PROTOPAGE_CHECK(store->GatherStep(ids, &rows).ok());
      rows.rows.setConstant(static_cast<float>(checkpoint));
      PROTOPAGE_CHECK(store->ScatterStep(ids, rows, checkpoint).ok());
      if (checkpoint == 20) PROTOPAGE_CHECK(store->ResetState().ok());
      PROTOPAGE_CHECK(store->Flush().ok() && log->Commit(checkpoint).ok());
    }
  }
  Base base;
  for (const int64_t checkpoint : kCheckpoints) base.rows[checkpoint] = *ReadRows(checkpoint);
  for (const std::string& name : Folder().Names()) {
    base.files[name] = Folder().Read(name);
    if (absl::EndsWith(name, ".segment")) base.segments.push_back(name);
  }
  const auto main = fs->Open(Folder().Path(kMain), OpenMode::kRead).value();
  base.header_offset = ReadHdf5Layout(main.get(), kMain)->Find("header")->offset;
  return base;
}

template <typename T>
T Get(const std::string& bytes, size_t at) {
  T value = 0;
  if (at + sizeof(T) <= bytes.size()) std::memcpy(&value, &bytes[at], sizeof(T));
  return value;
}
template <typename T>
void Set(std::string* bytes, size_t at, T value) {
  if (at + sizeof(T) <= bytes->size()) std::memcpy(&(*bytes)[at], &value, sizeof(T));
}

// Where the parts of a segment begin, by FORMAT.md.
struct Places {
  std::vector<size_t> records;
  size_t directory, commit;
};

Places FindPlaces(const std::string& segment) {
  Places places;
  places.commit = segment.size() < 128 ? segment.size() : segment.size() - 64;
  const auto directory = Get<uint64_t>(segment, places.commit + 32);
  places.directory = std::min<uint64_t>(directory, places.commit);
  for (size_t at = 64; at + 32 <= places.directory; at += 32 + Get<uint32_t>(segment, at + 16)) {
    places.records.push_back(at);
  }
  return places;
}

// Makes all checksums of a segment match.
void SetChecksums(std::string* segment) {
  const auto xxh3 = [&](uint64_t seed, size_t begin, size_t bytes) {
    const absl::string_view text = absl::string_view(*segment).substr(begin, bytes);
    return XXH3_64bits_withSeed(text.data(), text.size(), seed);
  };
  if (segment->size() < 64) return;
  const Places places = FindPlaces(*segment);
  const uint64_t salt = xxh3(0, 0, 56);
  Set(segment, 56, salt);
  for (const size_t at : places.records) {
    Set(segment, at + 24, xxh3(xxh3(salt, at, 24), at + 32, Get<uint32_t>(*segment, at + 16)));
  }
  Set(segment, places.commit + 48, xxh3(salt, places.directory, places.commit - places.directory));
  Set(segment, places.commit + 56, xxh3(salt, places.commit, 56));
}

// Changes one field of a segment.
void ChangeField(FuzzInput* input, std::string* segment) {
  const Places places = FindPlaces(*segment);
  const int64_t part = input->Below(5);
  size_t begin = 0, size = 64;  // The header.
  if (part == 1 && !places.records.empty()) {
    begin = places.records[input->Below(static_cast<int64_t>(places.records.size()))];
    size = 32;
  } else if (part == 2 && !places.records.empty()) {
    begin = places.records[input->Below(static_cast<int64_t>(places.records.size()))] + 32;
    size = 128;
  } else if (part == 3 && places.commit > places.directory) {
    begin = places.directory;
    size = places.commit - places.directory;
  } else if (part == 4) {
    begin = places.commit;
  }
  // Fields of 4 bytes begin at multiples of 4.
  const size_t at = begin + 4 * input->Below(static_cast<int64_t>(size) / 4);
  if (input->Below(2) == 0) {
    Set(segment, at, input->Integer());
  } else {
    Set(segment, at, static_cast<uint32_t>(input->Integer()));
  }
}

// Goes on from a checkpoint as a run does.
void WriteOn(int64_t checkpoint, FuzzInput* input) {
  FileSystem* const fs = DefaultFileSystem();
  const std::string directory = Folder().Path(kLog);
  constexpr int64_t kNext = 1000;
  bool committed = false;
  {
    const auto log = TableLog::Open(fs, directory, checkpoint, LogOptions());
    if (!Checked(log.status()).ok()) return;
    PrototypeStoreOptions options;
    options.log = log->get();
    const auto store = PrototypeStore::Open(Folder().Path(kMain), options);
    if (!Checked(store.status()).ok()) return;
    const bool written = Checked((*store)->Scatter({2}, RowMatrixXf::Ones(1, kDim))).ok() &&
                         (input->Below(2) == 0 || Checked((*store)->ResetState()).ok()) &&
                         Checked((*store)->Flush()).ok();
    committed = written && checkpoint < kNext && Checked((*log)->Commit(kNext)).ok();
    if (committed) Checked((*log)->RetireNow(kNext)).IgnoreError();
  }
  if (committed) ReadRows(kNext).IgnoreError();
}

void TryLog(FuzzInput input) {
  static const Base* const base = new Base(MakeBase());
  Folder().Clear();
  std::map<std::string, std::string> files = base->files;
  const bool checksums = input.Below(4) > 0;
  const bool write_on = input.Below(4) == 0;  // Slow: the log starts threads.
  const int64_t checkpoint = input.Below(4) > 0 ? kCheckpoints[input.Below(3)] : input.Integer();
  const int64_t header_word = input.Below(16);
  if (header_word < 7 && checksums) {
    std::string& main = files[kMain];
    const auto at = static_cast<size_t>(base->header_offset);
    Set(&main, at + 8 * header_word, input.Integer());
    Set<uint64_t>(&main, at + 56, XXH3_64bits(&main[at], 56));
  }
  for (int64_t count = 1 + input.Below(3); count > 0; --count) {
    const auto which = input.Below(static_cast<int64_t>(base->segments.size()));
    std::string& segment = files[base->segments[which]];
    if (checksums) {
      for (int64_t fields = 1 + input.Below(3); fields > 0; --fields) {
        ChangeField(&input, &segment);
      }
      SetChecksums(&segment);
    } else {
      input.Mutate(&segment);
    }
  }
  for (const auto& [name, bytes] : files) Folder().Write(name, bytes);
  const absl::StatusOr<std::string> rows = ReadRows(checkpoint);
  const absl::StatusOr<std::string> again = ReadRows(checkpoint);
  if (rows.status() != again.status()) {
    std::cerr << rows.status() << "\n" << again.status() << "\n";
    PROTOPAGE_CHECK(false);
  }
  PROTOPAGE_CHECK(!rows.ok() || *rows == *again);
  // Damage without new checksums is found.
  const auto intact = base->rows.find(checkpoint);
  if (rows.ok() && !checksums) {
    PROTOPAGE_CHECK(intact != base->rows.end() && *rows == intact->second);
  }
  if (write_on) WriteOn(checkpoint, &input);
  for (const std::string& name : Folder().Names()) {
    PROTOPAGE_CHECK(files.count(name) > 0 || absl::EndsWith(name, ".lock") ||
                    LogSegment::SequenceOfName(BaseName(name)) > 0);
  }
}

}  // namespace
}  // namespace protopage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protopage::TryLog(protopage::FuzzInput(data, size));
  return 0;
}
