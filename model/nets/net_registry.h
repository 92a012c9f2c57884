// The nets that there are, in the order of the help text.
//
//   for (const NetEntry& net : Nets()) std::cout << net.name << ": " << net.help << "\n";
//
// A new net is a file of its own (model/nets/net_entry.h) and a line in net_registry.cc.
#ifndef PROTOPAGE_MODEL_NETS_NET_REGISTRY_H_
#define PROTOPAGE_MODEL_NETS_NET_REGISTRY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/model/nets/net_entry.h"

namespace protopage {

const std::vector<NetEntry>& Nets();
// The names of Nets().
std::vector<std::string> NetNames();
// Errors: InvalidArgument, with the names that there are.
absl::StatusOr<const NetEntry*> FindNet(absl::string_view name);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_NETS_NET_REGISTRY_H_
