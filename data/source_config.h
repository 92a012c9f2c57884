// The "data" object of a config: which images there are, and in which form the net sees them.
//
//   {"type": "cifar", "data_dir": "/data/cifar", "image_size": 32}
//   {"type": "glyphs", "glyphs": {"target_classes": 8000}}
//   {"type": "folder", "paths": {"source_train": "faces/train", "target_train": "mine/train",
//                                "target_test": "mine/test"}}
//   {"type": "synthetic", "synthetic": {"target_classes": 100000000}}
#ifndef PROTOPAGE_DATA_SOURCE_CONFIG_H_
#define PROTOPAGE_DATA_SOURCE_CONFIG_H_

#include "protopage/base/config_fields.h"
#include "protopage/data/source_type.h"

namespace protopage {

// The settings of data/source_type.h with their keys: those of all types here, and the own keys
// of each type of the registry.
struct DataConfig : SourceSettings {
  void Fields(ConfigVisitor& v);
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SOURCE_CONFIG_H_
