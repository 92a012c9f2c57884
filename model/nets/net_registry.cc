#include "protopage/model/nets/net_registry.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
#include "protopage/model/nets/seed_cnn.h"

namespace protopage {

const std::vector<NetEntry>& Nets() {
  static const auto& nets = *new std::vector<NetEntry>{
      SeedCnn(),
  };
  return nets;
}

std::vector<std::string> NetNames() { return NamesOf(Nets()); }

absl::StatusOr<const NetEntry*> FindNet(absl::string_view name) {
  const NetEntry* const net = FindNamed(Nets(), name);
  if (net != nullptr) return net;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown net \"", name, "\", must be one of ", absl::StrJoin(NetNames(), ", ")));
}

}  // namespace protopage
