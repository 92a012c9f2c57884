// Two reports: what protopage measures, in its form and in the host's.

#include "eval/report.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/eval/closed_set.h"
#include "protopage/eval/report.h"
#include "protopage/eval/row_source.h"

namespace reuse {
namespace {

TEST(ReportTest, HostAndProtopageReportTheSame) {
  protopage::RowMatrixXf prototypes(2, 2), features(3, 2);
  prototypes << 1, 0, 0, 1;
  features << 2, 1, 1, 2, 1, 3;
  protopage::ThreadPool pool(1);
  protopage::EvalReport report;
  report.name = "host";
  auto closed_set = protopage::EvaluateClosedSet(features, {0, 0, 1}, {},
                                                 protopage::MatrixRows(prototypes), {}, pool);
  ASSERT_TRUE(closed_set.ok()) << closed_set.status();
  report.closed_set = *closed_set;
  EXPECT_NE(protopage::FormatReport(report).find("2 of 3 images"), std::string::npos);

  Report lines;
  lines.Add("correct", static_cast<double>(closed_set->all.top1));
  EXPECT_EQ(lines.text(), "correct: 2\n");
}

}  // namespace
}  // namespace reuse
