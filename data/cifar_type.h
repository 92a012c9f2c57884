// The type "cifar": data/cifar_source.h.
#ifndef PROTOPAGE_DATA_CIFAR_TYPE_H_
#define PROTOPAGE_DATA_CIFAR_TYPE_H_

#include <string>

#include "protopage/base/config_fields.h"
#include "protopage/data/source_type.h"

namespace protopage {

// Its keys are data.data_dir and so on, not an object of their own.
struct CifarConfig {
  // The folder with cifar-10-batches-bin and cifar-100-binary.
  std::string data_dir;
  std::string source_dataset = "cifar10";
  std::string target_dataset = "cifar100";

  void Fields(ConfigVisitor& v);
};

const SourceType& CifarType();

}  // namespace protopage

#endif  // PROTOPAGE_DATA_CIFAR_TYPE_H_
