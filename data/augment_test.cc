#include "protopage/data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

Image Noise(int width, int height, int channels) {
  Image image;
  image.Reset(width, height, channels);
  RandomStream random(3, RandomPurpose::kTest, 0);
  for (uint8_t& p : image.pixels) p = static_cast<uint8_t>(1 + random.Below(255));
  return image;
}

Image Apply(const AugmentConfig& config, int64_t step, const Image& in) {
  Image image = in;
  Image scratch;
  RandomStream random(1, RandomPurpose::kAugment, step);
  Augment(config, random, &scratch, &image);
  return image;
}

TEST(AugmentTest, NothingAskedForChangesNothing) {
  const Image in = Noise(9, 7, 3);
  EXPECT_TRUE(AugmentConfig::None().IsNone());
  EXPECT_EQ(Apply(AugmentConfig::None(), 5, in).pixels, in.pixels);
  EXPECT_TRUE(AugmentConfig().IsNone());
  EXPECT_EQ(Apply(AugmentConfig(), 5, in).pixels, in.pixels);
}

TEST(AugmentTest, FlipMirrorsEveryRow) {
  AugmentConfig config = AugmentConfig::None();
  config.flip = 1;
  const Image in{3, 2, 1, {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(Apply(config, 0, in).pixels, (std::vector<uint8_t>{3, 2, 1, 6, 5, 4}));
}

TEST(AugmentTest, FlipOfOneHalfComesAboutHalfOfTheTime) {
  AugmentConfig config = AugmentConfig::None();
  config.flip = 0.5;
  const Image in{2, 1, 1, {1, 2}};
  int flipped = 0;
  for (int step = 0; step < 1000; ++step) flipped += Apply(config, step, in).pixels[0] == 2;
  // Five standard deviations of a binomial are 79.
  EXPECT_NEAR(flipped, 500, 79);
}

// Every crop is the image moved by at most pad_crop pixels, with 0 outside, and all offsets occur.
TEST(AugmentTest, PadCropMovesTheImage) {
  AugmentConfig config = AugmentConfig::None();
  config.pad_crop = 2;
  const Image in = Noise(8, 6, 3);
  std::set<std::pair<int, int>> seen;
  for (int step = 0; step < 500; ++step) {
    const Image out = Apply(config, step, in);
    bool found = false;
    for (int dy = -2; dy <= 2 && !found; ++dy) {
      for (int dx = -2; dx <= 2 && !found; ++dx) {
        bool same = true;
        for (int y = 0; y < 6 && same; ++y) {
          for (int x = 0; x < 8 && same; ++x) {
            for (int c = 0; c < 3; ++c) {
              const bool inside = x - dx >= 0 && x - dx < 8 && y - dy >= 0 && y - dy < 6;
              const int expected = inside ? in.pixels[((y - dy) * 8 + x - dx) * 3 + c] : 0;
              same = same && out.pixels[(y * 8 + x) * 3 + c] == expected;
            }
          }
        }
        if (same) {
          found = true;
          seen.insert({dx, dy});
        }
      }
    }
    ASSERT_TRUE(found) << step;
  }
  EXPECT_EQ(seen.size(), 25u);
}

TEST(AugmentTest, CropWiderThanTheImageMayLeaveNothing) {
  AugmentConfig config = AugmentConfig::None();
  config.pad_crop = 50;
  const Image in = Noise(4, 4, 1);
  for (int step = 0; step < 50; ++step) {
    EXPECT_EQ(Apply(config, step, in).pixels.size(), in.pixels.size());
  }
}

TEST(AugmentTest, TinyWarpIsTheIdentity) {
  AugmentConfig config = AugmentConfig::None();
  config.shift = 1e-9;
  const Image in = Noise(17, 12, 3);
  EXPECT_EQ(Apply(config, 0, in).pixels, in.pixels);
}

// A bright centre keeps its place and its mass at every angle.
TEST(AugmentTest, RotationTurnsAboutTheCentre) {
  AugmentConfig config = AugmentConfig::None();
  config.rotate = 20;
  Image in;
  in.Reset(21, 21, 1);
  std::fill(in.pixels.begin(), in.pixels.end(), 0);
  for (int y = 9; y <= 11; ++y) {
    for (int x = 9; x <= 11; ++x) in.pixels[y * 21 + x] = 255;
  }
  for (int step = 0; step < 20; ++step) {
    const Image out = Apply(config, step, in);
    EXPECT_EQ(out.pixels[10 * 21 + 10], 255);
    int sum = 0;
    for (uint8_t p : out.pixels) sum += p;
    EXPECT_NEAR(sum, 9 * 255, 255);
  }
}

TEST(AugmentTest, ScaleAndShearKeepConstantImages) {
  AugmentConfig config = AugmentConfig::None();
  config.rotate = 180;
  config.scale = 0.5;
  config.shear = 0.5;
  config.shift = 0.5;
  Image in;
  in.Reset(13, 9, 3);
  std::fill(in.pixels.begin(), in.pixels.end(), 77);
  for (int step = 0; step < 20; ++step) EXPECT_EQ(Apply(config, step, in).pixels, in.pixels);
}

TEST(AugmentTest, ContrastAndBrightnessKeepTheOrderOfGreys) {
  AugmentConfig config = AugmentConfig::None();
  config.contrast = 0.5;
  config.brightness = 0.2;
  Image in;
  in.Reset(256, 1, 1);
  for (int i = 0; i < 256; ++i) in.pixels[i] = static_cast<uint8_t>(i);
  bool changed = false;
  for (int step = 0; step < 20; ++step) {
    const Image out = Apply(config, step, in);
    EXPECT_TRUE(std::is_sorted(out.pixels.begin(), out.pixels.end()));
    changed = changed || out.pixels != in.pixels;
  }
  EXPECT_TRUE(changed);
}

TEST(AugmentTest, NoiseStaysBelowItsAmplitude) {
  AugmentConfig config = AugmentConfig::None();
  config.noise = 0.1;
  Image in;
  in.Reset(32, 32, 1);
  std::fill(in.pixels.begin(), in.pixels.end(), 128);
  int largest = 0;
  for (int step = 0; step < 20; ++step) {
    for (uint8_t p : Apply(config, step, in).pixels) largest = std::max(largest, std::abs(p - 128));
  }
  EXPECT_GT(largest, 10);
  EXPECT_LE(largest, 26);
}

TEST(AugmentTest, IsAFunctionOfSeedStepAndPosition) {
  AugmentConfig config = AugmentConfig::None();
  config.flip = 0.5;
  config.pad_crop = 3;
  config.rotate = 10;
  config.scale = 0.1;
  config.contrast = 0.3;
  config.noise = 0.1;
  const Image in = Noise(16, 16, 3);
  EXPECT_EQ(Apply(config, 7, in).pixels, Apply(config, 7, in).pixels);
  EXPECT_NE(Apply(config, 7, in).pixels, Apply(config, 8, in).pixels);
}

// The results of a run depend on these bits: the hash of one augmented image.
TEST(AugmentTest, BitsArePinned) {
  AugmentConfig config = AugmentConfig::None();
  config.flip = 0.5;
  config.pad_crop = 3;
  config.rotate = 10;
  config.scale = 0.1;
  config.shear = 0.1;
  config.shift = 0.1;
  config.contrast = 0.3;
  config.brightness = 0.1;
  config.noise = 0.1;
  uint64_t hash = 1469598103934665603u;  // FNV-1a
  for (uint8_t p : Apply(config, 42, Noise(16, 16, 3)).pixels) hash = (hash ^ p) * 1099511628211u;
  EXPECT_EQ(hash, 2083673578122017556u);
}

TEST(AugmentTest, ConfigRejectsAProbabilityAboveOne) {
  AugmentConfig config;
  EXPECT_THAT(ReadConfig(nlohmann::json{{"flip", 1.5}}, "data.augment", config),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.augment.flip"));
}

TEST(AugmentTest, TheExampleOfTheHeader) {
  const uint64_t seed = 1, step = 2;
  const uint32_t i = 3;
  Image scratch, image = Noise(9, 7, 3);
  AugmentConfig config;
  config.flip = 0.5;
  config.pad_crop = 4;
  RandomStream random(seed, RandomPurpose::kAugment, step, i);
  Augment(config, random, &scratch, &image);
  EXPECT_EQ(image.bytes(), 9 * 7 * 3);
}

}  // namespace
}  // namespace protopage
