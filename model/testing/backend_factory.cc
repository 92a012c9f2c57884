#include "protopage/model/testing/backend_factory.h"

#include <ostream>

namespace protopage {

std::string BackendFactoryName(const testing::TestParamInfo<BackendFactory>& info) {
  return info.param.name;
}

void PrintTo(const BackendFactory& factory, std::ostream* os) { *os << factory.name; }

}  // namespace protopage
