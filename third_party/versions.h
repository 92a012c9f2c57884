// What this program was built from: `protopage --version` prints it.
//
//   for (const ComponentVersion& component : ComponentVersions()) {
//     std::cout << component.name << " " << component.version << "\n";
//   }
//
// The versions come from the headers that were compiled against, and so from
// the static libraries that were linked; nothing looks at the machine.

#ifndef PROTOPAGE_THIRD_PARTY_VERSIONS_H_
#define PROTOPAGE_THIRD_PARTY_VERSIONS_H_

#include <string>
#include <vector>

namespace protopage {

struct ComponentVersion {
  std::string name;
  std::string version;
};

// The compiler, its target, and each library, in the order to be printed.
std::vector<ComponentVersion> ComponentVersions();

}  // namespace protopage

#endif  // PROTOPAGE_THIRD_PARTY_VERSIONS_H_
