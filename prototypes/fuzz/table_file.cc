#include "protopage/prototypes/fuzz/table_file.h"

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "protopage/base/file.h"

namespace protopage {
namespace {

// Larger datasets are not made. Files are sparse, but sizes must not overflow.
constexpr int64_t kMostBytes = int64_t{1} << 40;
constexpr int64_t kMostContent = 1 << 16;
constexpr uint64_t kRowFactor = 0x9e3779b97f4a7c15;  // Of FORMAT.md.

constexpr const char* kIntegers[] = {
    "format_version", "dim",          "rows_per_class",    "partitions",     "partition",
    "seed",           "sorted_names", "names_fingerprint", "dominant_queue", "candidate_queue",
    "num_classes"};
constexpr const char* kTexts[] = {"kind", "dtype", "row_state", "generator", "default_names"};
constexpr const char* kValues[] = {"prototypes", "queues",   "class_names", "float16",
                                   "float32",    "momentum", "adagrad",     "none",
                                   "normal_1",   "normal_2", "decimal",     ""};
constexpr const char* kDatasets[] = {"prototypes", "momentum",   "adagrad",     "last_step",
                                     "dominants",  "candidates", "built_step",  "checksums",
                                     "header",     "dropped",    "class_names", "class_name_order",
                                     "names"};

template <size_t n>
const char* Choose(FuzzInput* input, const char* const (&names)[n]) {
  return names[input->Below(n)];
}

uint64_t NotZero(uint64_t checksum) { return checksum == 0 ? 1 : checksum; }

Hdf5Dataset* FindDataset(TableFile* file, const std::string& name) {
  return const_cast<Hdf5Dataset*>(file->Find(name));
}

uint64_t GetWord(const std::string& bytes, size_t i) {
  uint64_t word = 0;
  if (i < bytes.size() / 8) std::memcpy(&word, &bytes[i * 8], 8);
  return word;
}
void SetWord(std::string* bytes, size_t i, uint64_t word) {
  if (i < bytes->size() / 8) std::memcpy(&(*bytes)[i * 8], &word, 8);
}

// Of each cell that has one.
void SetCellChecksums(bool version_1, TableFile* file) {
  Hdf5Dataset* const checksums = FindDataset(file, "checksums");
  if (checksums == nullptr || checksums->dims.size() != 2) return;
  size_t c = 0;
  for (const char* name : {"prototypes", "momentum", "adagrad", "last_step", "dominants",
                           "candidates", "built_step"}) {
    const Hdf5Dataset* const column = file->Find(name);
    if (column == nullptr || column->dims.empty()) continue;
    const auto columns = static_cast<size_t>(checksums->dims[1]);
    const uint64_t width = column->dims.size() > 1 ? column->dims[1] : 1;
    const size_t bytes = BytesOf(column->type) * width;
    for (size_t i = 0; bytes > 0 && (i + 1) * bytes <= column->content.size(); ++i) {
      const size_t at = i * columns + c;
      if (GetWord(checksums->content, at) == 0) continue;
      const uint64_t checksum = NotZero(XXH3_64bits(&column->content[i * bytes], bytes));
      SetWord(&checksums->content, at, version_1 ? checksum : NotZero(checksum + i * kRowFactor));
    }
    ++c;
  }
}

void SetNameChecksums(TableFile* file) {
  if (Hdf5Dataset* const names = FindDataset(file, "class_names");
      names != nullptr && names->dims.size() == 2 && names->dims[1] >= 8) {
    const auto bytes = static_cast<size_t>(names->dims[1]);
    for (size_t i = 0; (i + 1) * bytes <= names->content.size(); ++i) {
      char* const cell = &names->content[i * bytes];
      if (std::all_of(cell, cell + bytes, [](char b) { return b == 0; })) continue;
      const uint64_t checksum = NotZero(XXH3_64bits_withSeed(cell, bytes - 8, i));
      std::memcpy(cell + bytes - 8, &checksum, 8);
    }
  }
  if (Hdf5Dataset* const order = FindDataset(file, "class_name_order"); order != nullptr) {
    for (size_t block = 0; (block + 1) * 4096 <= order->content.size(); ++block) {
      SetWord(&order->content, block * 512 + 511,
              NotZero(XXH3_64bits_withSeed(&order->content[block * 4096], 511 * 8, block)));
    }
  }
}

}  // namespace

TableFile ReadTableFile(const std::string& path) {
  const std::unique_ptr<File> file = DefaultFileSystem()->Open(path, OpenMode::kRead).value();
  TableFile result = ReadHdf5Layout(file.get(), path).value();
  const std::string bytes = file->ReadAll(kMostBytes).value();
  for (Hdf5Dataset& dataset : result.datasets) {
    dataset.content = bytes.substr(dataset.offset, dataset.bytes());
  }
  return result;
}

void Mutate(FuzzInput* input, TableFile* file) {
  for (int64_t count = 1 + input->Below(6); count > 0; --count) {
    const int64_t kind = input->Below(10);
    if (kind == 0) {
      file->integers[Choose(input, kIntegers)] = input->Integer();
      continue;
    }
    if (kind == 1) {
      file->integers.erase(Choose(input, kIntegers));
      continue;
    }
    if (kind == 2) {
      const char* const name = Choose(input, kTexts);
      file->texts[name] =
          input->Below(4) > 0 ? Choose(input, kValues) : std::string(input->Bytes(input->Byte()));
      continue;
    }
    if (kind == 3) {
      file->texts.erase(Choose(input, kTexts));
      continue;
    }
    if (file->datasets.empty()) return;
    const auto i = input->Below(static_cast<int64_t>(file->datasets.size()));
    Hdf5Dataset& dataset = file->datasets[i];
    if (kind == 4) {
      const int64_t what = input->Below(4);
      if (what == 0) file->datasets.erase(file->datasets.begin() + i);
      if (what == 1) dataset.name = Choose(input, kDatasets);
      if (what == 2) dataset.type = static_cast<CellType>(input->Below(6));
      if (what == 3 && dataset.dims.size() < 3) dataset.dims.push_back(1 + input->Below(4));
    } else if (kind == 5) {
      // Every dataset of so many rows, or this one.
      const int64_t rows = dataset.dims.empty() ? 0 : dataset.dims[0];
      const bool all = input->Below(2) == 1;
      const int64_t value = input->Integer();
      for (Hdf5Dataset& other : file->datasets) {
        const bool is_one = all ? !other.dims.empty() && other.dims[0] == rows : &other == &dataset;
        if (is_one && !other.dims.empty()) other.dims[0] = value;
      }
    } else if (kind == 6) {
      if (!dataset.dims.empty()) dataset.dims.back() = input->Integer();
    } else if (kind == 7) {
      Hdf5Dataset* const header = FindDataset(file, "header");
      const auto word = static_cast<size_t>(input->Below(8));
      const auto value = static_cast<uint64_t>(input->Integer());
      if (header != nullptr) SetWord(&header->content, word, value);
    } else if (kind == 8) {
      const auto words = static_cast<int64_t>(dataset.content.size() / 8);
      const auto word = static_cast<size_t>(input->Below(words + 1));
      SetWord(&dataset.content, word, static_cast<uint64_t>(input->Integer()));
    } else {
      const auto at =
          static_cast<size_t>(input->Below(static_cast<int64_t>(dataset.content.size()) + 1));
      const absl::string_view bytes = input->Bytes(1 + input->Below(16));
      const size_t size = std::min(bytes.size(), dataset.content.size() - at);
      dataset.content.replace(at, size, bytes.data(), size);
    }
  }
}

void SetChecksums(TableFile* file) {
  const bool version_1 = file->integers["format_version"] == 1;
  SetCellChecksums(version_1, file);
  SetNameChecksums(file);
  if (version_1) return;
  if (Hdf5Dataset* const header = FindDataset(file, "header"); header != nullptr) {
    const std::string words = header->content.substr(0, 56);
    SetWord(&header->content, 7, XXH3_64bits(words.data(), words.size()));
  }
  if (Hdf5Dataset* const dropped = FindDataset(file, "dropped"); dropped != nullptr) {
    for (size_t row = 0; row < dropped->content.size() / 8; ++row) {
      const uint64_t change = GetWord(dropped->content, row) >> 32;
      const uint64_t checked[] = {row, change};
      const uint64_t low = XXH3_64bits(checked, sizeof(checked)) & 0xffffffff;
      if (change > 0) SetWord(&dropped->content, row, change << 32 | low);
    }
  }
}

bool WriteTableFile(const std::string& path, TableFile file) {
  int64_t total = 0;
  for (Hdf5Dataset& dataset : file.datasets) {
    int64_t values = 1;
    for (const int64_t dim : dataset.dims) {
      if (dim < 1 || dim > kMostBytes / values) return false;
      values *= dim;
    }
    total += values * BytesOf(dataset.type);
    if (total > kMostBytes) return false;
    dataset.content.resize(
        std::min({static_cast<int64_t>(dataset.content.size()), dataset.bytes(), kMostContent}));
  }
  const std::unique_ptr<File> out = DefaultFileSystem()->Open(path, OpenMode::kCreate).value();
  return CreateHdf5Layout(out.get(), path, &file).ok();
}

}  // namespace protopage
