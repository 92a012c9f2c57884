#include "protopage/data/synthetic_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/random.h"

namespace protopage {
namespace {

constexpr int kGrid = 5;
constexpr int kChannels = 3;

class SyntheticSource : public ImageSource {
 public:
  explicit SyntheticSource(const SyntheticOptions& options) : options_(options) {
    PROTOPAGE_CHECK(options.num_classes >= 1 && options.images_per_class >= 1 &&
                    options.image_size >= 1);
  }

  int64_t size() const override { return options_.num_classes * options_.images_per_class; }
  int64_t num_classes() const override { return options_.num_classes; }
  int64_t records_per_class() const override { return options_.images_per_class; }
  ClassId Label(int64_t record) const override { return record / options_.images_per_class; }
  int Domain(int64_t) const override { return 0; }
  const std::vector<std::string>& domain_names() const override { return domains_; }
  std::string ClassName(ClassId label) const override { return absl::StrCat(label); }
  bool numbered_classes() const override { return true; }
  std::string RecordName(int64_t record) const override {
    return absl::StrCat(options_.name, "[", Label(record), "][", ImageOf(record), "]");
  }

  absl::Status Read(int64_t record, Image* image) const override {
    const ClassId label = Label(record);
    std::array<float, kGrid * kGrid * kChannels> grid;
    RandomStream pattern(options_.seed, RandomPurpose::kSynthetic, label);
    for (float& value : grid) value = pattern.Uniform();

    // Stream 0 of a class is that of the pattern; 1, 2, ... are those of the images.
    RandomStream random(options_.seed, RandomPurpose::kSynthetic, label,
                        static_cast<uint32_t>(1 + ImageOf(record)));
    const int side = options_.image_size;
    const float shift = static_cast<float>(kGrid - 1) / 16;
    const float shift_x = random.Uniform(-shift, shift), shift_y = random.Uniform(-shift, shift);
    const float brightness = random.Uniform(-0.15f, 0.15f);
    image->Reset(side, side, kChannels);
    uint8_t* pixel = image->pixels.data();
    for (int y = 0; y < side; ++y) {
      const Place row = At(y, shift_y);
      for (int x = 0; x < side; ++x) {
        const Place column = At(x, shift_x);
        for (int c = 0; c < kChannels; ++c, ++pixel) {
          const auto value = [&](int gy, int gx) {
            return grid[(gy * kGrid + gx) * kChannels + c];
          };
          const float above =
              Mix(value(row.cell, column.cell), value(row.cell, column.cell + 1), column.fraction);
          const float below = Mix(value(row.cell + 1, column.cell),
                                  value(row.cell + 1, column.cell + 1), column.fraction);
          // The sum of three uniform numbers instead of a normal one: it is cheap, and its variance
          // is 1/4.
          const float noise = static_cast<float>(2 * options_.noise) *
                              (random.Uniform() + random.Uniform() + random.Uniform() - 1.5f);
          const float shade = Mix(above, below, row.fraction) + brightness + noise;
          *pixel = static_cast<uint8_t>(std::lround(255 * std::clamp(shade, 0.0f, 1.0f)));
        }
      }
    }
    return absl::OkStatus();
  }

  std::string Description() const override {
    return absl::StrCat(options_.name, ": ", size(), " computed images of ", options_.num_classes,
                        " classes");
  }

 private:
  struct Place {
    int cell;
    float fraction;
  };

  int64_t ImageOf(int64_t record) const {
    return options_.first_image + record % options_.images_per_class;
  }
  static float Mix(float a, float b, float share) { return a + share * (b - a); }
  // The place of pixel `i` of a row or column in the grid.
  Place At(int i, float shift) const {
    const float at = std::clamp((i + 0.5f) * (kGrid - 1) / options_.image_size + shift, 0.0f,
                                static_cast<float>(kGrid - 1));
    const int cell = std::min(static_cast<int>(at), kGrid - 2);
    return {cell, at - static_cast<float>(cell)};
  }

  const SyntheticOptions options_;
  const std::vector<std::string> domains_ = {"image"};
};

}  // namespace

std::unique_ptr<ImageSource> MakeSyntheticSource(const SyntheticOptions& options) {
  return std::make_unique<SyntheticSource>(options);
}

}  // namespace protopage
