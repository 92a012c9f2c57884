// The "data" object of a config: which images there are and how they are
// brought to the net.
//
//   { "type": "cifar", "data_dir": "/data/cifar", "image_size": 32 }
//   { "type": "glyphs", "glyphs": { "target_classes": 8000 } }
//   { "type": "folder", "paths": { "source_train": "faces/train",
//   "target_train": "mine/train",
//                                  "target_test": "mine/test" } }
//   { "type": "synthetic", "synthetic": { "target_classes": 100000000 } }
#ifndef PROTOPAGE_DATA_SOURCE_CONFIG_H_
#define PROTOPAGE_DATA_SOURCE_CONFIG_H_

#include <cstdint>
#include <string>

#include "protopage/base/config_fields.h"
#include "protopage/data/augment.h"
#include "protopage/data/glyphs/glyph_config.h"

namespace protopage {

// Where each split of the types "folder" and "list" lies; "" when there is
// none.
struct SplitPaths {
  std::string source_train;
  std::string source_test;
  std::string target_train;
  std::string target_test;
  std::string unseen;
  void Fields(ConfigVisitor& v);
};

// Of the type "synthetic": how many classes each split has, and images a class.
struct SyntheticConfig {
  int64_t seed = 1;
  int64_t source_classes = 100;
  int64_t target_classes = 1000;
  int64_t unseen_classes = 100;
  int64_t train_images = 4;
  int64_t test_images = 2;  // Of the test splits and of `unseen`.
  double noise = 0.1;
  void Fields(ConfigVisitor& v);
};

struct DataConfig {
  std::string type = "glyphs";
  // Square side, in pixels, that all images are scaled to.
  int64_t image_size = 32;
  // 0: the type's own (glyphs 1, others 3).
  int64_t channels = 0;
  // Types cifar10 and cifar100 lie in cifar-10-batches-bin and cifar-100-binary
  // below it.
  std::string data_dir;
  std::string source_dataset = "cifar10";
  std::string target_dataset = "cifar100";
  SplitPaths paths;
  // A share of each class's training images, chosen by a seeded hash, that
  // *_train leaves out and *_validation holds: 0.1 keeps 5,000 of CIFAR's
  // 50,000 aside.
  double validation_share = 0;
  int64_t split_seed = 1;
  // A compressed image that decodes to more pixels than this is an error, not
  // an allocation.
  int64_t max_image_pixels = 100'000'000;
  GlyphConfig glyphs;
  SyntheticConfig synthetic;
  AugmentConfig augment;

  void Fields(ConfigVisitor& v);
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SOURCE_CONFIG_H_
