// The text that the binaries print for --version.
#ifndef PROTOPAGE_TRAINER_VERBS_VERSION_TEXT_H_
#define PROTOPAGE_TRAINER_VERBS_VERSION_TEXT_H_

#include <string>

namespace protopage {

// A line for each library that is linked, with its version.
std::string VersionText();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_VERSION_TEXT_H_
