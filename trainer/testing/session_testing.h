// The parameters and rows of a session for tests, and a config for the images of test_images.h.
#ifndef PROTOPAGE_TRAINER_TESTING_SESSION_TESTING_H_
#define PROTOPAGE_TRAINER_TESTING_SESSION_TESTING_H_

#include <string>
#include <utility>
#include <vector>

#include "protopage/base/types.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// The name and the value of each parameter; a net's statistics are parameters too.
using NamedValues = std::vector<std::pair<std::string, std::vector<float>>>;

// All of the net. An error is a failure of the running test, here and below.
NamedValues NetValues(Session& session);
// All rows, [N, D].
RowMatrixXf PrototypeRows(Session& session);

// TinyListConfig of `directory` with "key=value" changes, validated.
TrainConfig TinyListTrainConfig(const std::string& directory,
                                const std::vector<std::string>& set = {});

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_TESTING_SESSION_TESTING_H_
