// Windows of convolutions and poolings for tests.
//
//   const Window2d w = MakeWindow(/*batch=*/2, /*in_h=*/9, /*in_w=*/7, /*in_c=*/3, /*out_c=*/32,
//                                 /*kernel_h=*/3, /*kernel_w=*/3, /*stride_h=*/1, /*stride_w=*/1,
//                                 /*same=*/true);
//   EXPECT_EQ(OutShape(w), Shape({2, 9, 7, 32}));
#ifndef PROTOPAGE_MODEL_TESTING_TEST_WINDOWS_H_
#define PROTOPAGE_MODEL_TESTING_TEST_WINDOWS_H_

#include <cstdint>
#include <string>

#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

// `same`: padded so that out = ceil(in / stride), the larger part after (Keras); else not padded.
Window2d MakeWindow(int64_t batch, int64_t in_h, int64_t in_w, int64_t in_c, int64_t out_c,
                    int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w,
                    bool same);
// For messages.
std::string Describe(const Window2d& w);

// The shapes of x, y and the kernel.
Shape InShape(const Window2d& w);
Shape OutShape(const Window2d& w);
Shape KernelShape(const Window2d& w);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_TEST_WINDOWS_H_
