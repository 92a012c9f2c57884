// The versions of the libraries in this program: `protopage --version` prints them.
//
//   for (const ComponentVersion& component : ComponentVersions()) {
//     std::cout << component.name << " " << component.version << "\n";
//   }
//
// They come from the headers that it was compiled against, and so are those of the static libraries
// that it was linked with. Nothing is read from the machine.

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
