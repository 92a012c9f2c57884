// The type "synthetic": data/synthetic_source.h.
#ifndef PROTOPAGE_DATA_SYNTHETIC_TYPE_H_
#define PROTOPAGE_DATA_SYNTHETIC_TYPE_H_

#include <cstdint>

#include "protopage/base/config_fields.h"
#include "protopage/data/source_type.h"

namespace protopage {

// The object data.synthetic.
struct SyntheticConfig {
  int64_t seed = 1;
  int64_t source_classes = 100;
  int64_t target_classes = 1000;
  int64_t unseen_classes = 100;
  int64_t train_images = 4;  // Images per class of the training splits.
  int64_t test_images = 2;   // Images per class of the test splits and of `unseen`.
  double noise = 0.1;

  void Fields(ConfigVisitor& v);
};

const SourceType& SyntheticType();

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SYNTHETIC_TYPE_H_
