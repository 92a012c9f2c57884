#include "protopage/model/nets/net_registry.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/model/nets/seed_cnn.h"

namespace protopage {

const std::vector<NetEntry>& Nets() {
  static const auto& nets = *new std::vector<NetEntry>{
      SeedCnn(),
  };
  return nets;
}

std::vector<std::string> NetNames() {
  std::vector<std::string> names;
  for (const NetEntry& net : Nets()) names.push_back(net.name);
  return names;
}

absl::StatusOr<const NetEntry*> FindNet(absl::string_view name) {
  for (const NetEntry& net : Nets()) {
    if (net.name == name) return &net;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown net \"", name, "\", must be one of ", absl::StrJoin(NetNames(), ", ")));
}

}  // namespace protopage
