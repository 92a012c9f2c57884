// The convolutions and poolings of every backend.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/reference_ops.h"
#include "protopage/model/testing/test_windows.h"

namespace protopage {
namespace {

using reference::Array;

std::vector<Window2d> ConvolutionWindows() {
  std::vector<Window2d> windows = {
      MakeWindow(2, 9, 7, 3, 32, 3, 3, 1, 1, true),     // A first layer.
      MakeWindow(1, 6, 6, 32, 64, 3, 3, 1, 1, false),   // One image.
      MakeWindow(3, 5, 7, 5, 7, 3, 3, 2, 2, true),      // Channels that fill no vector.
      MakeWindow(2, 4, 4, 16, 16, 1, 1, 1, 1, false),   // A product in disguise.
      MakeWindow(2, 5, 5, 8, 24, 1, 1, 2, 2, false),    // Pixels that no window reads.
      MakeWindow(19, 4, 4, 4, 3, 3, 3, 1, 1, false),    // Several images a block.
      MakeWindow(35, 3, 3, 6, 20, 3, 3, 1, 1, false),   // One position an image.
      MakeWindow(1, 14, 13, 33, 17, 3, 3, 1, 1, true),  // More positions than one pass sums.
      MakeWindow(2, 9, 10, 3, 18, 7, 7, 2, 2, true),    // ResNet's first layer.
      MakeWindow(2, 6, 5, 4, 33, 5, 5, 1, 1, true),
      MakeWindow(2, 5, 9, 2, 5, 1, 3, 1, 2, true),  // Not square.
      MakeWindow(2, 9, 5, 2, 5, 3, 1, 2, 1, false), MakeWindow(1, 1, 1, 1, 1, 1, 1, 1, 1, false),
      MakeWindow(2, 8, 8, 3, 4, 3, 3, 3, 3, false),     // A rest that no window reaches.
      MakeWindow(2, 7, 5, 8, 8, 2, 2, 2, 2, true),      // Padded at the end alone.
      MakeWindow(1, 2, 3, 4, 5, 3, 3, 1, 1, true),      // Smaller than the kernel.
      MakeWindow(3, 4, 4, 64, 130, 3, 3, 1, 1, false),  // A kernel of many floats,
      MakeWindow(9, 4, 3, 65, 128, 3, 3, 1, 1, true),   // and padded.
      MakeWindow(5, 19, 14, 2, 6, 3, 3, 1, 1, true),    // A gradient that sums over many positions.
      // Those of whole vectors of channels:
      MakeWindow(1, 17, 19, 32, 32, 3, 3, 1, 1,
                 true),                                // More tiles than fit in a group; half ones.
      MakeWindow(37, 4, 4, 32, 64, 3, 3, 1, 1, true),  // Several images in a group.
      MakeWindow(2, 7, 9, 64, 32, 3, 3, 1, 1, false),  // Not square.
      MakeWindow(3, 6, 6, 64, 128, 3, 3, 1, 1, false),  // A kernel of many floats,
      MakeWindow(2, 4, 6, 96, 192, 3, 3, 1, 1, true),   // and padded.
  };
  // PyTorch's padding before a stride: 1 on each side, of which the last may stay unread.
  Window2d torch = MakeWindow(2, 8, 8, 4, 16, 3, 3, 2, 2, false);
  torch.pad_top = torch.pad_left = 1;
  torch.out_h = torch.out_w = 4;
  windows.push_back(torch);
  return windows;
}

std::vector<Window2d> PoolingWindows() {
  return {
      MakeWindow(2, 6, 6, 32, 32, 2, 2, 2, 2, false),
      MakeWindow(1, 7, 5, 3, 3, 2, 2, 2, 2, false),   // A rest that no window reaches.
      MakeWindow(3, 7, 6, 19, 19, 3, 3, 2, 2, true),  // Overlapping, padded.
      MakeWindow(2, 4, 4, 8, 8, 4, 4, 1, 1, false),   // The whole image.
      MakeWindow(1, 5, 4, 1, 1, 3, 2, 1, 1, true),
  };
}

TEST_P(BackendConformanceTest, Conv2dForward) {
  for (const Window2d& w : ConvolutionWindows()) {
    const std::string what = Describe(w);
    const std::vector<float> x = Random(InShape(w).num_elements(), 7);
    const std::vector<float> k = Random(KernelShape(w).num_elements(), 8);
    const std::vector<float> bias = Random(w.out_c, 9);
    const Tensor tx = UploadMap(InShape(w), x), tk = Upload(KernelShape(w), k);
    const double roundings = static_cast<double>(w.kernel_h * w.kernel_w * w.in_c) + 2;
    for (const bool with_bias : {false, true}) {
      const Array expected = reference::Conv2dForward(w, ToDouble(x), ToDouble(k),
                                                      with_bias ? ToDouble(bias) : Array());
      const Array magnitude = reference::Conv2dForward(w, Magnitudes(x), Magnitudes(k),
                                                       with_bias ? Magnitudes(bias) : Array());
      const Tensor tb = with_bias ? Upload({w.out_c}, bias) : Tensor();
      const Tensor y = EmptyMap(OutShape(w));
      PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, tx, tk, tb, /*relu=*/false, y));
      ExpectNear(y, expected, magnitude, roundings, "Conv2dForward " + what);

      Array rectified = expected;
      for (double& value : rectified) value = std::max(0.0, value);
      const Tensor r = EmptyMap(OutShape(w));
      PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, tx, tk, tb, /*relu=*/true, r));
      ExpectNear(r, rectified, magnitude, roundings, "with relu " + what);
    }
  }
}

TEST_P(BackendConformanceTest, Conv2dBackward) {
  for (const Window2d& w : ConvolutionWindows()) {
    const std::vector<float> x = Random(InShape(w).num_elements(), 10);
    const std::vector<float> k = Random(KernelShape(w).num_elements(), 11);
    const std::vector<float> d_y = Random(OutShape(w).num_elements(), 12);
    // Any array will do as the forward output: it only says where the relu was open.
    std::vector<float> y = Random(OutShape(w).num_elements(), 13);
    for (float& value : y) value = std::max(0.0f, value);
    const Tensor tx = UploadMap(InShape(w), x), tk = Upload(KernelShape(w), k);
    const Tensor ty = UploadMap(OutShape(w), y);
    const int64_t positions = w.batch * w.out_h * w.out_w;
    const int64_t taps = w.kernel_h * w.kernel_w;
    for (const bool relu : {false, true}) {
      for (const bool all : {false, true}) {  // Whether d_x and d_bias are wanted.
        const std::string what = absl::StrCat("Conv2dBackward ", Describe(w), relu ? " relu" : "");
        std::vector<float> masked = d_y;
        for (size_t i = 0; i < masked.size(); ++i) {
          if (relu && !(y[i] > 0.0f)) masked[i] = 0.0f;
        }
        const auto expected =
            reference::Conv2dBackward(w, ToDouble(x), ToDouble(k), ToDouble(masked));
        const auto magnitude =
            reference::Conv2dBackward(w, Magnitudes(x), Magnitudes(k), Magnitudes(masked));
        const Tensor td = UploadMap(OutShape(w), d_y), d_w = Empty(KernelShape(w));
        const Tensor d_x = all ? EmptyMap(InShape(w)) : Tensor();
        const Tensor d_bias = all ? Empty({w.out_c}) : Tensor();
        PROTOPAGE_ASSERT_OK(
            backend_->Conv2dBackward(w, tx, tk, relu ? ty : Tensor(), relu, td, d_x, d_w, d_bias));
        ExpectNear(d_w, expected.d_w, magnitude.d_w, positions + 2, "d_w of " + what);
        if (!all) continue;
        ExpectNear(d_x, expected.d_x, magnitude.d_x, taps * w.out_c + 2, "d_x of " + what);
        ExpectNear(d_bias, expected.d_bias, magnitude.d_bias, positions + 2, "d_bias of " + what);
      }
    }
  }
}

TEST_P(BackendConformanceTest, MaxPool2d) {
  for (const Window2d& w : PoolingWindows()) {
    std::vector<float> x = Random(InShape(w).num_elements(), 14);
    for (float& value : x) value = std::round(4.0f * value);  // So that there are ties.
    const std::vector<float> d_y = Random(OutShape(w).num_elements(), 15);
    const auto expected = reference::MaxPool2dForward(w, ToDouble(x));
    const Tensor y = EmptyMap(OutShape(w)), d_x = EmptyMap(InShape(w));
    const Tensor argmax = backend_->Allocate(DType::kInt32, OutShape(w)).value();
    PROTOPAGE_ASSERT_OK(backend_->MaxPool2dForward(w, UploadMap(InShape(w), x), y, argmax));
    EXPECT_EQ(ToDouble(Download(y)), expected.y) << Describe(w);
    EXPECT_EQ(DownloadInts(argmax), expected.argmax) << Describe(w);
    PROTOPAGE_ASSERT_OK(backend_->MaxPool2dBackward(w, UploadMap(OutShape(w), d_y), argmax, d_x));
    const int64_t windows = w.kernel_h * w.kernel_w;
    ExpectNear(d_x, reference::MaxPool2dBackward(w, ToDouble(d_y), expected.argmax),
               reference::MaxPool2dBackward(w, Magnitudes(d_y), expected.argmax), windows,
               "MaxPool2dBackward " + Describe(w));
  }
}

TEST_P(BackendConformanceTest, GlobalAveragePool) {
  struct Case {
    int64_t batch, h, w, c;
  };
  for (const Case& s :
       {Case{2, 4, 4, 512}, Case{5, 3, 7, 9}, Case{1, 1, 1, 1}, Case{3, 1, 2, 33}}) {
    const int64_t pixels = s.h * s.w;
    const std::vector<float> x = Random(s.batch * pixels * s.c, 16);
    const std::vector<float> d_y = Random(s.batch * s.c, 17);
    const Tensor y = Empty({s.batch, s.c}), d_x = EmptyMap({s.batch, s.h, s.w, s.c});
    PROTOPAGE_ASSERT_OK(
        backend_->GlobalAveragePoolForward(UploadMap({s.batch, s.h, s.w, s.c}, x), y));
    ExpectNear(y, reference::GlobalAveragePoolForward(ToDouble(x), s.batch, pixels, s.c),
               reference::GlobalAveragePoolForward(Magnitudes(x), s.batch, pixels, s.c),
               static_cast<double>(pixels) + 2, "GlobalAveragePoolForward");
    PROTOPAGE_ASSERT_OK(backend_->GlobalAveragePoolBackward(Upload({s.batch, s.c}, d_y), d_x));
    ExpectNear(d_x, reference::GlobalAveragePoolBackward(ToDouble(d_y), s.batch, pixels, s.c), 3,
               "GlobalAveragePoolBackward");
  }
}

}  // namespace
}  // namespace protopage
