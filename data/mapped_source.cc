#include "protopage/data/mapped_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"

namespace protopage {
namespace {

class MappedSource : public ImageSource {
 public:
  MappedSource(std::shared_ptr<const ImageSource> source,
               std::shared_ptr<const ClassMapping> mapping,
               std::function<std::string(ClassId)> name)
      : source_(std::move(source)), mapping_(std::move(mapping)), name_(std::move(name)) {
    ChooseRecords();
  }

  int64_t size() const override { return size_; }
  int64_t num_classes() const override { return mapping_->num_classes; }
  ClassId Label(int64_t record) const override { return NewLabel(source_->Label(At(record))); }
  int64_t records_per_class() const override {
    const bool all = in_place_ && source_->num_classes() >= num_classes();
    return all ? source_->records_per_class() : 0;
  }
  int Domain(int64_t record) const override { return source_->Domain(At(record)); }
  const std::vector<std::string>& domain_names() const override { return source_->domain_names(); }
  std::string ClassName(ClassId label) const override { return name_(label); }
  std::string RecordName(int64_t record) const override { return source_->RecordName(At(record)); }
  absl::Status Read(int64_t record, Image* image) const override {
    return source_->Read(At(record), image);
  }
  bool has_files() const override { return source_->has_files(); }
  absl::Status Check(int64_t record) const override { return source_->Check(At(record)); }
  std::string LeftOut() const override { return source_->LeftOut(); }
  std::string Description() const override {
    const std::string text = source_->Description();
    if (size_ == source_->size() && num_classes() == source_->num_classes()) return text;
    return absl::StrCat(text, "; ", size_, " of them of the ", num_classes(), " known classes");
  }

 private:
  int64_t At(int64_t record) const { return in_place_ ? record : records_[record]; }

  // kNoClass for a class that is left out.
  ClassId NewLabel(ClassId label) const {
    if (mapping_->labels.empty()) return label < num_classes() ? label : kNoClass;
    const uint32_t mapped = mapping_->labels[label];
    return mapped == ClassMapping::kLeftOut ? kNoClass : ClassId{mapped};
  }

  void ChooseRecords() {
    PROTOPAGE_CHECK(mapping_->labels.empty() ||
                    static_cast<int64_t>(mapping_->labels.size()) == source_->num_classes());
    const int64_t each = source_->records_per_class();
    if (mapping_->labels.empty() && each > 0) {
      in_place_ = true;
      size_ = std::min(num_classes(), source_->num_classes()) * each;
      return;
    }
    PROTOPAGE_CHECK(source_->size() <= std::numeric_limits<uint32_t>::max());
    bool ordered = true;
    ClassId before = 0;
    for (int64_t record = 0; record < source_->size(); ++record) {
      const ClassId label = source_->Label(record);
      ordered = ordered && label >= before;
      before = label;
      if (NewLabel(label) != kNoClass) records_.push_back(static_cast<uint32_t>(record));
    }
    if (ordered) {
      std::stable_sort(records_.begin(), records_.end(), [&](uint32_t a, uint32_t b) {
        return NewLabel(source_->Label(a)) < NewLabel(source_->Label(b));
      });
    }
    size_ = static_cast<int64_t>(records_.size());
  }

  const std::shared_ptr<const ImageSource> source_;
  const std::shared_ptr<const ClassMapping> mapping_;
  const std::function<std::string(ClassId)> name_;
  bool in_place_ = false;  // Record r is record r of the source.
  int64_t size_ = 0;
  std::vector<uint32_t> records_;  // Of the source.
};

}  // namespace

std::unique_ptr<ImageSource> MapClasses(std::shared_ptr<const ImageSource> source,
                                        std::shared_ptr<const ClassMapping> mapping,
                                        std::function<std::string(ClassId)> name) {
  return std::make_unique<MappedSource>(std::move(source), std::move(mapping), std::move(name));
}

}  // namespace protopage
