// FakeSource: an ImageSource for tests, with the given labels and domains and images that are a
// function of the record.
#ifndef PROTOPAGE_DATA_FAKE_SOURCE_H_
#define PROTOPAGE_DATA_FAKE_SOURCE_H_

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/data/image_source.h"

namespace protopage {

class FakeSource : public ImageSource {
 public:
  FakeSource(std::vector<ClassId> labels, int64_t num_classes, int width = 8, int height = 8,
             int channels = 3)
      : labels_(std::move(labels)),
        domains_(labels_.size(), 0),
        num_classes_(num_classes),
        width_(width),
        height_(height),
        channels_(channels) {}

  // The records that cannot be read.
  std::set<int64_t> damaged;
  std::vector<std::string> names = {"image"};
  // Empty: "class 0", "class 1", ...
  std::vector<std::string> class_names;

  void set_domains(std::vector<int> domains) { domains_ = std::move(domains); }

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t num_classes() const override { return num_classes_; }
  ClassId Label(int64_t record) const override { return labels_[record]; }
  int Domain(int64_t record) const override { return domains_[record]; }
  const std::vector<std::string>& domain_names() const override { return names; }
  std::string ClassName(ClassId label) const override {
    return class_names.empty() ? absl::StrCat("class ", label) : class_names[label];
  }
  std::string RecordName(int64_t record) const override { return absl::StrCat("fake-", record); }
  absl::Status Read(int64_t record, Image* image) const override {
    if (damaged.count(record) > 0) return absl::DataLossError(absl::StrCat("fake-", record));
    image->Reset(width_, height_, channels_);
    RandomStream random(1, RandomPurpose::kTest, record);
    for (uint8_t& p : image->pixels) p = static_cast<uint8_t>(random.Below(256));
    return absl::OkStatus();
  }
  std::string Description() const override { return "fake"; }

 private:
  std::vector<ClassId> labels_;
  std::vector<int> domains_;
  int64_t num_classes_;
  int width_;
  int height_;
  int channels_;
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_FAKE_SOURCE_H_
