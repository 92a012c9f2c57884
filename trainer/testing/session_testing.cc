#include "protopage/trainer/testing/session_testing.h"

#include <gtest/gtest.h>

#include "protopage/base/config_fields.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {

NamedValues NetValues(Session& session) {
  NamedValues values;
  for (const Parameter* parameter : session.net()->parameters()) {
    values.emplace_back(parameter->name, std::vector<float>(parameter->value.num_elements()));
    PROTOPAGE_EXPECT_OK(
        session.backend()->CopyToHost(parameter->value, values.back().second.data()));
  }
  return values;
}

RowMatrixXf PrototypeRows(Session& session) {
  PrototypeStore& store = session.prototypes()->store();
  RowMatrixXf rows(store.num_classes(), store.dim());
  PROTOPAGE_EXPECT_OK(store.ReadRange(0, rows));
  return rows;
}

TrainConfig TinyListTrainConfig(const std::string& directory, const std::vector<std::string>& set) {
  nlohmann::json json = ParseJson(TinyListConfig(directory), "tiny").value();
  for (const std::string& assignment : set) PROTOPAGE_EXPECT_OK(SetJsonValue(assignment, json));
  TrainConfig config;
  PROTOPAGE_EXPECT_OK(ReadConfig(json, "", config));
  PROTOPAGE_EXPECT_OK(ValidateConfig(&config));
  return config;
}

}  // namespace protopage
