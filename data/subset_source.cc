#include "protopage/data/subset_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/data/class_images.h"

namespace protopage {
namespace {

class SubsetSource : public ImageSource {
 public:
  SubsetSource(std::shared_ptr<const ImageSource> source, std::vector<uint32_t> records,
               std::string what)
      : source_(std::move(source)), records_(std::move(records)), what_(std::move(what)) {}

  int64_t size() const override { return static_cast<int64_t>(records_.size()); }
  int64_t num_classes() const override { return source_->num_classes(); }
  ClassId Label(int64_t record) const override { return source_->Label(records_[record]); }
  int Domain(int64_t record) const override { return source_->Domain(records_[record]); }
  const std::vector<std::string>& domain_names() const override { return source_->domain_names(); }
  std::string ClassName(ClassId label) const override { return source_->ClassName(label); }
  bool numbered_classes() const override { return source_->numbered_classes(); }
  std::string RecordName(int64_t record) const override {
    return source_->RecordName(records_[record]);
  }
  absl::Status Read(int64_t record, Image* image) const override {
    return source_->Read(records_[record], image);
  }
  bool has_files() const override { return source_->has_files(); }
  absl::Status Check(int64_t record) const override { return source_->Check(records_[record]); }
  std::string LeftOut() const override { return source_->LeftOut(); }
  std::string Description() const override {
    return absl::StrCat(source_->Description(), "; ", what_, " ", size(), " of them");
  }

 private:
  const std::shared_ptr<const ImageSource> source_;
  const std::vector<uint32_t> records_;
  const std::string what_;
};

}  // namespace

std::unique_ptr<ImageSource> MakeSubset(std::shared_ptr<const ImageSource> source,
                                        std::vector<uint32_t> records, const std::string& what) {
  return std::make_unique<SubsetSource>(std::move(source), std::move(records), what);
}

std::vector<uint32_t> ChooseHeldOut(const ImageSource& source, double share, uint64_t seed) {
  const ClassImages images(source);
  const int id_domain = source.domain_names().size() > 1 ? FindDomain(source, "id") : -1;
  std::vector<uint32_t> held_out;
  std::vector<std::pair<uint64_t, uint32_t>> order;  // (hash, record)
  for (ClassId label = 0; label < images.num_classes(); ++label) {
    order.clear();
    for (int64_t i = 0; i < images.Count(label); ++i) {
      const int64_t record = images.Record(label, i);
      if (source.Domain(record) == id_domain) continue;
      RandomStream random(seed, RandomPurpose::kSplit, record, 1);
      order.emplace_back(random.Next64(), static_cast<uint32_t>(record));
    }
    std::sort(order.begin(), order.end());
    const double wanted = static_cast<double>(order.size()) * share;
    int64_t count = static_cast<int64_t>(wanted);
    RandomStream random(seed, RandomPurpose::kSplit, label, 2);
    if (random.Uniform() < wanted - static_cast<double>(count)) ++count;
    count = std::min(count, images.Count(label) - 1);
    for (int64_t i = 0; i < count; ++i) held_out.push_back(order[i].second);
  }
  std::sort(held_out.begin(), held_out.end());
  return held_out;
}

std::vector<uint32_t> Complement(int64_t size, const std::vector<uint32_t>& records) {
  std::vector<uint32_t> rest;
  rest.reserve(size - records.size());
  size_t next = 0;
  for (int64_t record = 0; record < size; ++record) {
    if (next < records.size() && records[next] == record) {
      ++next;
    } else {
      rest.push_back(static_cast<uint32_t>(record));
    }
  }
  return rest;
}

}  // namespace protopage
