#include "protopage/prototypes/store_inspection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {
namespace {

// Rows and states read at a time, and classes that all rows are compared with in one pass.
constexpr int64_t kBlockRows = 4096;
constexpr int64_t kPassQueries = 16384;

// Counts ages in buckets: one per age below 256, then 128 per doubling.
class AgeHistogram {
 public:
  void Add(int64_t age) {
    ++counts_[BucketOf(age)];
    ++total_;
    max_ = std::max(max_, age);
  }
  int64_t max() const { return max_; }
  // The smallest age that is at least as large as a share q of the ages, rounded down to the begin
  // of its bucket.
  int64_t Quantile(double q) const {
    int64_t left = static_cast<int64_t>(std::ceil(q * static_cast<double>(total_)));
    for (const auto& [bucket, count] : counts_) {
      left -= count;
      if (left <= 0) return bucket;
    }
    return 0;
  }

 private:
  // The first age of the bucket.
  static int64_t BucketOf(int64_t age) {
    int64_t width = 1;
    while (age / width >= 256) width *= 2;
    return age / width * width;
  }

  std::map<int64_t, int64_t> counts_;
  int64_t total_ = 0, max_ = 0;
};

struct BetterPair {
  bool operator()(const ClassPair& x, const ClassPair& y) const {
    return std::make_tuple(-x.cosine, x.a, x.b) < std::make_tuple(-y.cosine, y.a, y.b);
  }
};

class Inspector {
 public:
  Inspector(PrototypeStore* store, const StoreInspectionOptions& options, ThreadPool* pool)
      : store_(store),
        options_(options),
        pool_(pool),
        fs_(options.file_system != nullptr ? options.file_system : DefaultFileSystem()),
        rows_(std::min(kBlockRows, store->num_classes()), store->dim()) {}

  absl::StatusOr<StoreInspection> Inspect() {
    if (options_.pairs < 0 || options_.max_products < 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          options_.pairs, " pairs, ", options_.max_products, " products; at least 0 and 1"));
    }
    PROTOPAGE_RETURN_IF_ERROR(ReadFileFacts());
    PROTOPAGE_RETURN_IF_ERROR(CountClasses());
    PROTOPAGE_RETURN_IF_ERROR(MeasureClasses());
    if (options_.pairs > 0) PROTOPAGE_RETURN_IF_ERROR(FindPairs());
    return std::move(out_);
  }

 private:
  absl::Status ReadFileFacts() {
    out_.path = store_->path();
    out_.num_classes = store_->num_classes();
    out_.dim = store_->dim();
    out_.dtype = RowTypeName(store_->spec().dtype);
    out_.row_state = RowStateName(store_->spec().row_state);
    out_.capacity = store_->spec().capacity;
    out_.dropped = store_->num_dropped();
    PROTOPAGE_ASSIGN_OR_RETURN(out_.has_names, store_->HasNames());
    out_.clean = store_->clean_when_opened();
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                               fs_->Open(out_.path, OpenMode::kRead));
    PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(file.get(), out_.path));
    out_.format_version = layout.integers.at("format_version");
    std::array<uint64_t, 3> header;
    PROTOPAGE_RETURN_IF_ERROR(
        file->ReadAt(layout.Find("header")->offset, header.data(), sizeof(header)));
    if (header[1] != 0) out_.main_checkpoint = static_cast<int64_t>(header[2]);
    PROTOPAGE_ASSIGN_OR_RETURN(out_.file_bytes, file->Size());
    for (int64_t at = 0; at < out_.file_bytes;) {
      PROTOPAGE_ASSIGN_OR_RETURN(const ByteRange data, file->NextData(at));
      out_.allocated_bytes += data.end - data.begin;
      at = std::max(data.end, at + 1);
    }
    return absl::OkStatus();
  }

  // Reads the states of the classes [first, first + count) into states_.
  absl::Status ReadStates(ClassId first, int64_t count) {
    first_ = first;
    states_.resize(count);
    return store_->ReadStates(first, absl::MakeSpan(states_));
  }
  // Whether class i of the block has a row: it was written and not dropped.
  bool Counts(int64_t i) const { return states_[i].written && !store_->is_dropped(first_ + i); }

  absl::Status CountClasses() {
    for (ClassId first = 0; first < out_.num_classes; first += kBlockRows) {
      const int64_t count = std::min(kBlockRows, out_.num_classes - first);
      PROTOPAGE_RETURN_IF_ERROR(ReadStates(first, count));
      for (int64_t i = 0; i < count; ++i) {
        if (store_->is_dropped(first + i)) continue;
        if (!states_[i].written) {
          ++out_.never_written;
        } else if (states_[i].last_step < 0) {
          ++out_.imprinted;
        } else {
          ++out_.trained;
          out_.newest_step = std::max(out_.newest_step, states_[i].last_step);
        }
      }
    }
    return absl::OkStatus();
  }

  // Reads the rows of a block's written classes into rows_, and calls visit(i) for each of these.
  template <typename Visit>
  absl::Status ReadBlock(ClassId first, Visit visit) {
    const int64_t count = std::min(kBlockRows, out_.num_classes - first);
    PROTOPAGE_RETURN_IF_ERROR(ReadStates(first, count));
    int64_t begin = 0, end = count;
    while (begin < end && !Counts(begin)) ++begin;
    while (begin < end && !Counts(end - 1)) --end;
    if (begin == end) return absl::OkStatus();
    PROTOPAGE_RETURN_IF_ERROR(
        store_->ReadRange(first + begin, rows_.middleRows(begin, end - begin)));
    for (int64_t i = begin; i < end; ++i) {
      if (Counts(i)) visit(i);
    }
    return absl::OkStatus();
  }

  absl::Status MeasureClasses() {
    AgeHistogram ages;
    double sum = 0, smallest = std::numeric_limits<double>::infinity(), largest = 0;
    for (ClassId first = 0; first < out_.num_classes; first += kBlockRows) {
      PROTOPAGE_RETURN_IF_ERROR(ReadBlock(first, [&](int64_t i) {
        const double norm = rows_.row(i).cast<double>().norm();
        sum += norm;
        smallest = std::min(smallest, norm);
        largest = std::max(largest, norm);
        if (states_[i].last_step >= 0) ages.Add(out_.newest_step - states_[i].last_step);
      }));
    }
    if (const int64_t written = out_.imprinted + out_.trained; written > 0) {
      out_.norm_min = smallest;
      out_.norm_mean = sum / static_cast<double>(written);
      out_.norm_max = largest;
    }
    out_.age_median = ages.Quantile(0.5);
    out_.age_p90 = ages.Quantile(0.9);
    out_.age_p99 = ages.Quantile(0.99);
    out_.age_max = ages.max();
    return absl::OkStatus();
  }

  // Reads the block's written rows into unit_, with norm 1. All others are zeros, which have no
  // neighbours.
  absl::Status ReadUnitRows(ClassId first, int64_t* count) {
    *count = std::min(kBlockRows, out_.num_classes - first);
    unit_.setZero(*count, out_.dim);
    return ReadBlock(first, [&](int64_t i) {
      const double norm = rows_.row(i).cast<double>().norm();
      if (norm > 0) unit_.row(i) = rows_.row(i) / static_cast<float>(norm);
    });
  }

  absl::Status FindPairs() {
    const int64_t written = out_.imprinted + out_.trained;
    const int64_t affordable = std::max<int64_t>(options_.max_products / out_.num_classes, 1);
    out_.pairs_complete = written <= affordable;
    // The positions, among the written classes, of the classes to compare with all.
    std::vector<int64_t> sample;
    if (!out_.pairs_complete) {
      RandomStream random(options_.seed, RandomPurpose::kIndex, /*a=*/4);
      sample = SampleWithoutReplacement(random, written, affordable);
      std::sort(sample.begin(), sample.end());
    }
    std::vector<ClassId> ids;
    RowMatrixXf queries(std::min(kPassQueries, written), out_.dim);
    int64_t position = 0;
    size_t next = 0;  // In `sample`.
    for (ClassId first = 0; first < out_.num_classes; first += kBlockRows) {
      int64_t count = std::min(kBlockRows, out_.num_classes - first);
      if (!out_.pairs_complete) {
        PROTOPAGE_RETURN_IF_ERROR(ReadStates(first, count));
        int64_t end = position;
        for (int64_t i = 0; i < count; ++i) end += Counts(i) ? 1 : 0;
        if (next == sample.size() || sample[next] >= end) {
          position = end;
          continue;
        }
      }
      PROTOPAGE_RETURN_IF_ERROR(ReadUnitRows(first, &count));
      for (int64_t i = 0; i < count; ++i) {
        if (!Counts(i)) continue;
        const int64_t at = position++;
        if (!out_.pairs_complete && (next == sample.size() || sample[next] != at)) continue;
        ++next;
        queries.row(static_cast<int64_t>(ids.size())) = unit_.row(i);
        ids.push_back(first + i);
        if (static_cast<int64_t>(ids.size()) < queries.rows()) continue;
        PROTOPAGE_RETURN_IF_ERROR(ComparePass(queries, ids));
        ids.clear();
        // ComparePass has overwritten the block.
        PROTOPAGE_RETURN_IF_ERROR(ReadUnitRows(first, &count));
      }
    }
    if (!ids.empty()) {
      PROTOPAGE_RETURN_IF_ERROR(
          ComparePass(queries.topRows(static_cast<int64_t>(ids.size())), ids));
    }
    out_.pairs.assign(best_.begin(), best_.end());
    for (ClassPair& pair : out_.pairs) {
      PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> a, store_->ReadNames(pair.a, 1));
      PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> b, store_->ReadNames(pair.b, 1));
      pair.a_name = a[0];
      pair.b_name = b[0];
    }
    return absl::OkStatus();
  }

  // Compares all rows with those of `ids`, and keeps the best pairs in best_.
  absl::Status ComparePass(const RowMatrixXf& queries, const std::vector<ClassId>& ids) {
    out_.pair_classes += static_cast<int64_t>(ids.size());
    // The best pairs of all are among the best of each class.
    ExactNeighbors exact(queries, options_.pairs, ids);
    for (ClassId first = 0; first < out_.num_classes; first += kBlockRows) {
      int64_t count = 0;
      PROTOPAGE_RETURN_IF_ERROR(ReadUnitRows(first, &count));
      exact.Add(first, unit_, pool_);
    }
    exact.Finish();
    for (size_t q = 0; q < ids.size(); ++q) {
      for (int64_t j = 0; j < options_.pairs; ++j) {
        const size_t at = q * options_.pairs + j;
        if (exact.ids()[at] == kNoClass || !(exact.scores()[at] > 0)) break;
        ClassPair pair;
        pair.a = std::min(ids[q], exact.ids()[at]);
        pair.b = std::max(ids[q], exact.ids()[at]);
        pair.cosine = exact.scores()[at];
        best_.insert(pair);
        if (static_cast<int64_t>(best_.size()) > options_.pairs) {
          best_.erase(std::prev(best_.end()));
        }
      }
    }
    return absl::OkStatus();
  }

  PrototypeStore* const store_;
  const StoreInspectionOptions options_;
  ThreadPool* const pool_;
  FileSystem* const fs_;
  StoreInspection out_;
  // Of the block that was read last.
  ClassId first_ = 0;
  std::vector<ClassState> states_;
  RowMatrixXf rows_, unit_;
  std::set<ClassPair, BetterPair> best_;  // A pair has the same cosine from either side.
};

}  // namespace

absl::StatusOr<StoreInspection> InspectStore(PrototypeStore* store,
                                             const StoreInspectionOptions& options,
                                             ThreadPool* pool) {
  return Inspector(store, options, pool).Inspect();
}

}  // namespace protopage
