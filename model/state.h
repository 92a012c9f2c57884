// StateVisitor: the state that a component needs to continue with the same bits, declared once
// and used to save, load and list it. A component writes
//
//   void Counter::State(StateVisitor& v) {
//     v.Integer("updates", &updates_);
//     v.Array("sums", sums_);  // A device tensor, saved from or loaded into.
//   }
//
// and model/checkpoint.h does the rest. Names are unique within a component; slashes make groups.
#ifndef PROTOPAGE_MODEL_STATE_H_
#define PROTOPAGE_MODEL_STATE_H_

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"
#include "protopage/model/tensor.h"

namespace protopage {

class StateVisitor {
 public:
  virtual ~StateVisitor() = default;
  virtual void Array(absl::string_view name, const Tensor& tensor) = 0;
  virtual void Integer(absl::string_view name, int64_t* value) = 0;
  virtual void Number(absl::string_view name, double* value) = 0;
};

using StateFunction = std::function<void(StateVisitor&)>;

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_STATE_H_
