// The ops of a network. Formulas stand above the code in ops.cc and in model/backend.h.
//
//   int x = graph.Input({32, 32, 3});
//   x = graph.Add(Conv2d("conv_1", {.filters = 32, .padding = Padding::kSame}), {x});
//   x = graph.Add(BatchNorm("bn_conv1", {.relu = true}), {x});
#ifndef PROTOPAGE_MODEL_OPS_H_
#define PROTOPAGE_MODEL_OPS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "protopage/model/op.h"

namespace protopage {

enum class Padding {
  kValid,  // None.
  kSame,   // out = ceil(in / stride); of an odd padding the larger part is after (Keras).
};

struct Conv2dOptions {
  int64_t filters = 0;
  int64_t kernel = 3;  // Square.
  int64_t stride = 1;
  Padding padding = Padding::kValid;
  bool bias = true;
  bool relu = false;  // Fused.
};
// [H, W, C] -> [H', W', filters]. Parameters: kernel [k, k, C, filters], bias [filters].
std::unique_ptr<Op> Conv2d(std::string name, const Conv2dOptions& options);

struct BatchNormOptions {
  float epsilon = 1e-3f;  // Keras' defaults.
  float momentum = 0.99f;
  bool relu = false;  // Fused.
};
// Any shape; statistics are per element of the last dimension. Parameters: gamma, beta,
// moving_mean, moving_variance, all [C].
std::unique_ptr<Op> BatchNorm(std::string name, const BatchNormOptions& options);

std::unique_ptr<Op> Relu(std::string name);

struct MaxPool2dOptions {
  int64_t size = 2;    // Square.
  int64_t stride = 0;  // 0: the same as size.
  Padding padding = Padding::kValid;
};
std::unique_ptr<Op> MaxPool2d(std::string name, const MaxPool2dOptions& options);

// At the rate of the run, RunOptions::dropout. The identity outside training and at rate 0.
std::unique_ptr<Op> Dropout(std::string name);

std::unique_ptr<Op> GlobalAveragePool(std::string name);  // [H, W, C] -> [C]
std::unique_ptr<Op> Flatten(std::string name);            // any -> [elements]
std::unique_ptr<Op> Add(std::string name);                // Two or more inputs of one shape.
std::unique_ptr<Op> L2Normalize(std::string name);        // [D] -> [D]

struct LinearOptions {
  int64_t units = 0;
  bool bias = true;
};
// [n] -> [units]: y = x kernel + bias. Parameters: kernel [n, units], bias [units].
std::unique_ptr<Op> Linear(std::string name, const LinearOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_OPS_H_
