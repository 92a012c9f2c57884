// The host's report: lines of a name and a number. protopage has a header of the same name.

#ifndef REUSE_EVAL_REPORT_H_
#define REUSE_EVAL_REPORT_H_

#include <sstream>
#include <string>

namespace reuse {

class Report {
 public:
  void Add(const std::string& name, double value) { text_ << name << ": " << value << "\n"; }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
};

}  // namespace reuse

#endif  // REUSE_EVAL_REPORT_H_
