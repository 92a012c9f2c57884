#include "protopage/model/cpu/cpu_backend.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/cpu_features.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/backend_checks.h"
#include "protopage/model/cpu/convolution.h"
#include "protopage/model/cpu/cpu_context.h"
#include "protopage/model/cpu/matrix_kernels.h"
#include "protopage/model/cpu/vector_kernels.h"

namespace protopage {
namespace {

// Elements of an elementwise task: long enough to be worth a task, short enough for L2.
constexpr int64_t kChunk = int64_t{32} << 10;
// Rows whose column sums are taken in float before they are added in double.
constexpr int64_t kRowBlock = 512;
// A product's task: rows, columns in panels, and the depth that one pass sums. A panel of
// so many rows stays in L1 with the rows of a tile.
constexpr int64_t kProductRows = 96;
constexpr int64_t kProductPanels = 8;
constexpr int64_t kProductDepth = 384;

class HeapBuffer : public Buffer {
 public:
  // `total` counts the bytes of the buffers that live.
  HeapBuffer(void* data, int64_t bytes, std::shared_ptr<std::atomic<int64_t>> total)
      : Buffer(data, bytes), total_(std::move(total)) {
    *total_ += bytes;
  }
  ~HeapBuffer() override {
    *total_ -= bytes();
    std::free(data());
  }

 private:
  const std::shared_ptr<std::atomic<int64_t>> total_;
};

class CpuBackend : public Backend {
 public:
  CpuBackend(ThreadPool* pool, std::string isa, const MatrixKernels& matrix,
             const VectorKernels& vector, const WinogradKernels& winograd)
      : context_(pool, matrix, vector, winograd), isa_(std::move(isa)) {}

  DeviceType device() const override { return DeviceType::kCpu; }
  std::string Description() const override {
    const int threads = pool().num_threads();
    return absl::StrCat("cpu (", threads, threads == 1 ? " thread, " : " threads, ", isa_, ")");
  }
  Precision precision() const override { return Precision::kFloat32; }

  // --- Memory ---------------------------------------------------------------------------------

  absl::StatusOr<Tensor> Allocate(DType dtype, const Shape& shape) override {
    const int64_t bytes = shape.num_elements() * BytesOf(dtype);
    PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer,
                               NewBuffer(bytes, absl::StrCat("a tensor ", shape.ToString())));
    return Tensor(std::move(buffer), dtype, shape);
  }

  int64_t allocated_bytes() const override { return *buffer_bytes_ + context_.bytes(); }

  absl::Status CopyToDevice(const void* src, const Tensor& dst) override {
    CopyBytes(src, dst.data<void>(), dst.bytes());
    return absl::OkStatus();
  }
  absl::Status CopyToHost(const Tensor& src, void* dst) override {
    CopyBytes(src.data<void>(), dst, src.bytes());
    return absl::OkStatus();
  }
  absl::Status Copy(const Tensor& src, const Tensor& dst) override {
    PROTOPAGE_CHECK(src.bytes() == dst.bytes());
    CopyBytes(src.data<void>(), dst.data<void>(), src.bytes());
    return absl::OkStatus();
  }
  absl::Status Fill(const Tensor& x, float value) override {
    CheckFloat(x, x.num_elements());
    ForElements(x, [&](int64_t i, int64_t n) { vector().fill(x.f32() + i, n, value); });
    return absl::OkStatus();
  }
  // Device and host are one here: uploads and downloads are copies, done at once.
  absl::StatusOr<std::shared_ptr<Buffer>> AllocateHost(int64_t bytes) override {
    return NewBuffer(bytes, "copies");
  }
  absl::Status Upload(const void* src, const Tensor& dst) override {
    return CopyToDevice(src, dst);
  }
  absl::Status FinishUploads() override { return absl::OkStatus(); }
  absl::Status Download(const Tensor& src, void* dst) override { return CopyToHost(src, dst); }
  absl::Status FinishDownloads() override { return absl::OkStatus(); }
  absl::Status CopyRows(const Tensor& src, const Tensor& from, const Tensor& dst) override {
    PROTOPAGE_CHECK(src.shape().rank() >= 1 && dst.shape().rank() >= 1);
    const int64_t rows = dst.shape()[0];
    CheckInt(from, rows);
    if (rows == 0) return absl::OkStatus();
    const int64_t row_bytes = dst.bytes() / rows;
    PROTOPAGE_CHECK(src.bytes() == src.shape()[0] * row_bytes);
    context_.ForChunks(rows, ImagesPerTask(row_bytes / 4), [&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i) {
        const int32_t row = from.i32()[i];
        if (row < 0) continue;
        PROTOPAGE_CHECK(row < src.shape()[0]);
        std::memcpy(dst.data<char>() + i * row_bytes, src.data<char>() + row * row_bytes,
                    static_cast<size_t>(row_bytes));
      }
    });
    return absl::OkStatus();
  }
  absl::Status Synchronize() override { return absl::OkStatus(); }

  // --- Repetition -----------------------------------------------------------------------------

  std::unique_ptr<Recording> NewRecording() override { return std::make_unique<Recording>(); }
  absl::Status Run(Recording*, uint64_t, absl::FunctionRef<absl::Status()> operations) override {
    return operations();
  }

  // --- Elementwise ----------------------------------------------------------------------------

  absl::Status ImagesToFloat(const Tensor& x, float scale, float shift, const Tensor& y) override {
    PROTOPAGE_CHECK(x.dtype() == DType::kUint8);
    CheckFloat(y, x.num_elements());
    ForElements(y, [&](int64_t i, int64_t n) {
      vector().images_to_float(x.u8() + i, n, scale, shift, y.f32() + i);
    });
    return absl::OkStatus();
  }
  absl::Status ReluForward(const Tensor& x, const Tensor& y) override {
    CheckFloat(x, y.num_elements());
    ForElements(y,
                [&](int64_t i, int64_t n) { vector().relu_forward(x.f32() + i, n, y.f32() + i); });
    return absl::OkStatus();
  }
  absl::Status ReluBackward(const Tensor& y, const Tensor& d_y, const Tensor& d_x) override {
    CheckFloat(y, d_x.num_elements());
    CheckFloat(d_y, d_x.num_elements());
    ForElements(d_x, [&](int64_t i, int64_t n) {
      vector().relu_backward(y.f32() + i, d_y.f32() + i, n, d_x.f32() + i);
    });
    return absl::OkStatus();
  }
  absl::Status Add(const Tensor& a, const Tensor& b, const Tensor& y) override {
    CheckFloat(a, y.num_elements());
    CheckFloat(b, y.num_elements());
    ForElements(
        y, [&](int64_t i, int64_t n) { vector().add(a.f32() + i, b.f32() + i, n, y.f32() + i); });
    return absl::OkStatus();
  }
  absl::Status Axpy(float alpha, const Tensor& x, const Tensor& y) override {
    CheckFloat(x, y.num_elements());
    ForElements(y,
                [&](int64_t i, int64_t n) { vector().axpy(alpha, x.f32() + i, n, y.f32() + i); });
    return absl::OkStatus();
  }
  absl::Status Scale(float alpha, const Tensor& x) override {
    CheckFloat(x, x.num_elements());
    ForElements(x, [&](int64_t i, int64_t n) { vector().scale(alpha, n, x.f32() + i); });
    return absl::OkStatus();
  }
  absl::Status Dropout(float rate, const DropoutKey& key, const Tensor& x,
                       const Tensor& y) override {
    PROTOPAGE_CHECK(rate >= 0.0f && rate < 1.0f);
    CheckFloat(x, y.num_elements());
    ForElements(y, [&](int64_t i, int64_t n) {
      vector().dropout(rate, key.key, key.step, i, x.f32() + i, n, y.f32() + i);
    });
    return absl::OkStatus();
  }

  // --- Windows --------------------------------------------------------------------------------

  absl::Status Conv2dForward(const Window2d& window, const Tensor& x, const Tensor& w,
                             const Tensor& bias, bool relu, const Tensor& y) override {
    CheckConvolution(window, x, w, y);
    if (bias) CheckFloat(bias, window.out_c);
    ConvolutionForward(context_, window, x.f32(), w.f32(), bias ? bias.f32() : nullptr, relu,
                       y.f32());
    return absl::OkStatus();
  }
  absl::Status Conv2dBackward(const Window2d& window, const Tensor& x, const Tensor& w,
                              const Tensor& y, bool relu, const Tensor& d_y, const Tensor& d_x,
                              const Tensor& d_w, const Tensor& d_bias) override {
    CheckConvolution(window, x, d_w, d_y);
    CheckFloat(w, d_w.num_elements());
    if (relu) CheckFloat(y, d_y.num_elements());
    if (d_x) CheckFloat(d_x, x.num_elements());
    if (d_bias) CheckFloat(d_bias, window.out_c);
    if (window.batch == 0) {
      PROTOPAGE_RETURN_IF_ERROR(Fill(d_w, 0.0f));
      return d_bias ? Fill(d_bias, 0.0f) : absl::OkStatus();
    }
    ConvolutionBackward(context_, window, x.f32(), w.f32(), relu ? y.f32() : nullptr, d_y.f32(),
                        d_x ? d_x.f32() : nullptr, d_w.f32(), d_bias ? d_bias.f32() : nullptr);
    return absl::OkStatus();
  }

  absl::Status MaxPool2dForward(const Window2d& window, const Tensor& x, const Tensor& y,
                                const Tensor& argmax) override {
    CheckPool(window, x, y, argmax);
    const PoolGeometry geometry = Geometry(window);
    const int64_t in = window.in_h * window.in_w * window.in_c;
    const int64_t out = window.out_h * window.out_w * window.in_c;
    pool().ParallelFor(window.batch, [&](int64_t i) {
      vector().max_pool_forward(geometry, x.f32() + i * in, y.f32() + i * out,
                                argmax.i32() + i * out);
    });
    return absl::OkStatus();
  }
  absl::Status MaxPool2dBackward(const Window2d& window, const Tensor& d_y, const Tensor& argmax,
                                 const Tensor& d_x) override {
    CheckPool(window, d_x, d_y, argmax);
    const PoolGeometry geometry = Geometry(window);
    const int64_t in = window.in_h * window.in_w * window.in_c;
    const int64_t out = window.out_h * window.out_w * window.in_c;
    pool().ParallelFor(window.batch, [&](int64_t i) {
      vector().max_pool_backward(geometry, d_y.f32() + i * out, argmax.i32() + i * out,
                                 d_x.f32() + i * in);
    });
    return absl::OkStatus();
  }
  absl::Status GlobalAveragePoolForward(const Tensor& x, const Tensor& y) override {
    const MatrixView out(y);
    CheckPixels(x, y);
    const int64_t pixels = x.num_elements() / std::max<int64_t>(1, y.num_elements());
    context_.ForChunks(out.rows, ImagesPerTask(pixels * out.cols), [&](int64_t first, int64_t n) {
      for (int64_t i = first; i < first + n; ++i) {
        vector().average_pool_forward(x.f32() + i * pixels * out.cols, pixels, out.cols,
                                      y.f32() + i * out.cols);
      }
    });
    return absl::OkStatus();
  }
  absl::Status GlobalAveragePoolBackward(const Tensor& d_y, const Tensor& d_x) override {
    const MatrixView out(d_y);
    CheckPixels(d_x, d_y);
    const int64_t pixels = d_x.num_elements() / std::max<int64_t>(1, d_y.num_elements());
    context_.ForChunks(out.rows, ImagesPerTask(pixels * out.cols), [&](int64_t first, int64_t n) {
      for (int64_t i = first; i < first + n; ++i) {
        vector().average_pool_backward(d_y.f32() + i * out.cols, pixels, out.cols,
                                       d_x.f32() + i * pixels * out.cols);
      }
    });
    return absl::OkStatus();
  }

  // --- Normalisation --------------------------------------------------------------------------

  absl::Status BatchNormTrain(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              float epsilon, float momentum, bool relu, const Tensor& running_mean,
                              const Tensor& running_var, const Tensor& saved_mean,
                              const Tensor& saved_inv_std, const Tensor& y) override {
    const MatrixView m(x);
    for (const Tensor& t : {gamma, beta, running_mean, running_var, saved_mean, saved_inv_std}) {
      CheckFloat(t, m.cols);
    }
    CheckFloat(y, x.num_elements());
    if (m.rows == 0) return absl::OkStatus();
    const int64_t blocks = DivideUp(m.rows, kRowBlock);
    float* moments = context_.Shared(CpuContext::kSums, (2 * blocks + 1) * m.cols);
    pool().ParallelFor(blocks, [&](int64_t block) {
      const int64_t first = block * kRowBlock;
      float* mean = moments + 2 * block * m.cols;
      vector().column_moments(x.f32() + first * m.cols, std::min(kRowBlock, m.rows - first), m.cols,
                              mean, mean + m.cols);
    });
    // Chan et al., "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances":
    // the blocks' squared distances, plus the share of the distance between the means.
    float* scale = moments + 2 * blocks * m.cols;
    for (int64_t j = 0; j < m.cols; ++j) {
      double count = 0.0, mean = 0.0, m2 = 0.0;
      for (int64_t block = 0; block < blocks; ++block) {
        const double rows = static_cast<double>(std::min(kRowBlock, m.rows - block * kRowBlock));
        const double distance = static_cast<double>(moments[2 * block * m.cols + j]) - mean;
        const double total = count + rows;
        m2 += static_cast<double>(moments[(2 * block + 1) * m.cols + j]) +
              distance * distance * count * rows / total;
        mean += distance * rows / total;
        count = total;
      }
      const double variance = m2 / count;
      const double inv_std = 1.0 / std::sqrt(variance + static_cast<double>(epsilon));
      saved_mean.f32()[j] = static_cast<float>(mean);
      saved_inv_std.f32()[j] = static_cast<float>(inv_std);
      scale[j] = static_cast<float>(static_cast<double>(gamma.f32()[j]) * inv_std);
      const auto blend = [momentum](float& running, double batch) {
        running = static_cast<float>(static_cast<double>(momentum) * running +
                                     (1.0 - static_cast<double>(momentum)) * batch);
      };
      blend(running_mean.f32()[j], mean);
      blend(running_var.f32()[j], variance);
    }
    Normalize(m, x, saved_mean.f32(), scale, beta, relu, y);
    return absl::OkStatus();
  }

  absl::Status BatchNormInfer(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              float epsilon, bool relu, const Tensor& running_mean,
                              const Tensor& running_var, const Tensor& y) override {
    const MatrixView m(x);
    for (const Tensor& t : {gamma, beta, running_mean, running_var}) CheckFloat(t, m.cols);
    CheckFloat(y, x.num_elements());
    float* scale = context_.Shared(CpuContext::kSums, m.cols);
    for (int64_t j = 0; j < m.cols; ++j) {
      scale[j] = static_cast<float>(
          static_cast<double>(gamma.f32()[j]) /
          std::sqrt(static_cast<double>(running_var.f32()[j]) + static_cast<double>(epsilon)));
    }
    Normalize(m, x, running_mean.f32(), scale, beta, relu, y);
    return absl::OkStatus();
  }

  absl::Status BatchNormBackward(const Tensor& x, const Tensor& gamma, const Tensor& saved_mean,
                                 const Tensor& saved_inv_std, const Tensor& y, bool relu,
                                 const Tensor& d_y, const Tensor& d_x, const Tensor& d_gamma,
                                 const Tensor& d_beta) override {
    const MatrixView m(x);
    for (const Tensor& t : {gamma, saved_mean, saved_inv_std, d_gamma, d_beta}) {
      CheckFloat(t, m.cols);
    }
    CheckFloat(d_y, x.num_elements());
    CheckFloat(d_x, x.num_elements());
    if (relu) CheckFloat(y, x.num_elements());
    const int64_t blocks = DivideUp(m.rows, kRowBlock);
    float* sums = context_.Shared(CpuContext::kSums, (2 * blocks + 3) * m.cols);
    pool().ParallelFor(blocks, [&](int64_t block) {
      const int64_t first = block * kRowBlock;
      vector().norm_backward_sums(
          x.f32() + first * m.cols, relu ? y.f32() + first * m.cols : nullptr,
          d_y.f32() + first * m.cols, std::min(kRowBlock, m.rows - first), m.cols, saved_mean.f32(),
          saved_inv_std.f32(), sums + 2 * block * m.cols);
    });
    float* a = sums + 2 * blocks * m.cols;
    float* b = a + m.cols;
    float* e = b + m.cols;
    for (int64_t j = 0; j < m.cols; ++j) {
      double sum = 0.0, sum_x = 0.0;
      for (int64_t block = 0; block < blocks; ++block) {
        sum += static_cast<double>(sums[2 * block * m.cols + j]);
        sum_x += static_cast<double>(sums[(2 * block + 1) * m.cols + j]);
      }
      d_beta.f32()[j] = static_cast<float>(sum);
      d_gamma.f32()[j] = static_cast<float>(sum_x);
      a[j] = gamma.f32()[j] * saved_inv_std.f32()[j];
      const double rows = static_cast<double>(std::max<int64_t>(1, m.rows));
      b[j] = static_cast<float>(sum / rows);
      e[j] = static_cast<float>(sum_x / rows);
    }
    context_.ForChunks(m.rows, kRowBlock, [&](int64_t first, int64_t n) {
      vector().norm_backward(x.f32() + first * m.cols, d_y.f32() + first * m.cols, n, m.cols,
                             saved_mean.f32(), saved_inv_std.f32(), a, b, e,
                             d_x.f32() + first * m.cols);
    });
    return absl::OkStatus();
  }

  absl::Status L2NormalizeRows(const Tensor& x, const Tensor& y, const Tensor& norms) override {
    const MatrixView m(x);
    CheckFloat(x, y.num_elements());
    CheckFloat(norms, m.rows);
    ForRows(m, [&](int64_t i, int64_t n) {
      vector().l2_normalize_rows(x.f32() + i * m.cols, n, m.cols, y.f32() + i * m.cols,
                                 norms.f32() + i);
    });
    return absl::OkStatus();
  }
  absl::Status L2NormalizeRowsBackward(const Tensor& y, const Tensor& norms, const Tensor& d_y,
                                       const Tensor& d_x) override {
    const MatrixView m(y);
    CheckFloat(norms, m.rows);
    CheckFloat(d_y, y.num_elements());
    CheckFloat(d_x, y.num_elements());
    ForRows(m, [&](int64_t i, int64_t n) {
      vector().l2_normalize_rows_backward(y.f32() + i * m.cols, norms.f32() + i,
                                          d_y.f32() + i * m.cols, n, m.cols,
                                          d_x.f32() + i * m.cols);
    });
    return absl::OkStatus();
  }

  // --- Matrices -------------------------------------------------------------------------------

  absl::Status MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      float alpha, float beta, const Tensor& c) override {
    const ProductShape shape(a, transpose_a, b, transpose_b, c);
    const int64_t rows = shape.rows, cols = shape.cols, depth = shape.depth;
    if (rows == 0 || cols == 0) return absl::OkStatus();
    if (beta != 0.0f && beta != 1.0f) PROTOPAGE_RETURN_IF_ERROR(Scale(beta, c));
    if (depth == 0) return beta == 0.0f ? Fill(c, 0.0f) : absl::OkStatus();

    const MatrixKernels& matrix = context_.matrix();
    const int64_t panel = matrix.panel;
    const int64_t panels = DivideUp(cols, panel);
    float* packed = context_.Shared(CpuContext::kPacked, panels * panel * depth);
    pool().ParallelFor(panels, [&](int64_t p) {
      const int64_t first = p * panel;
      matrix.pack(b.f32() + first * (transpose_b ? depth : 1), depth, std::min(panel, cols - first),
                  transpose_b ? 1 : cols, transpose_b ? depth : 1, alpha, packed + first * depth);
    });
    const float* source = a.f32();
    if (transpose_a) {
      float* copy = context_.Shared(CpuContext::kImages, rows * depth);
      context_.ForChunks(rows, 16, [&](int64_t first, int64_t count) {
        for (int64_t k = 0; k < depth; ++k) {
          for (int64_t i = first; i < first + count; ++i) {
            copy[i * depth + k] = a.f32()[k * rows + i];
          }
        }
      });
      source = copy;
    }
    int64_t* a_offsets = context_.Shared<int64_t>(CpuContext::kOffsetsA, rows);
    int64_t* c_offsets = context_.Shared<int64_t>(CpuContext::kOffsetsC, rows);
    for (int64_t i = 0; i < rows; ++i) {
      a_offsets[i] = i * depth;
      c_offsets[i] = i * cols;
    }
    const int64_t row_tasks = DivideUp(rows, kProductRows);
    const int64_t column_tasks = DivideUp(panels, kProductPanels);
    pool().ParallelFor(row_tasks * column_tasks, [&](int64_t task) {
      const int64_t first_row = task / column_tasks * kProductRows;
      const int64_t first_column = task % column_tasks * kProductPanels * panel;
      for (int64_t k = 0; k < depth; k += kProductDepth) {
        RowProduct product = {};
        product.a = source + k;
        product.a_offsets = a_offsets + first_row;
        product.rows = std::min(kProductRows, rows - first_row);
        product.runs = 1;
        product.run_length = std::min(kProductDepth, depth - k);
        product.b = packed + first_column * depth + k * panel;
        product.b_panel_stride = depth * panel;
        product.n = std::min(kProductPanels * panel, cols - first_column);
        product.c = c.f32() + first_column;
        product.c_offsets = c_offsets + first_row;
        product.accumulate = k > 0 || beta != 0.0f;
        matrix.multiply_rows(product);
      }
    });
    return absl::OkStatus();
  }
  absl::Status BiasAdd(const Tensor& x, const Tensor& bias, const Tensor& y) override {
    const MatrixView m(x);
    CheckFloat(bias, m.cols);
    CheckFloat(y, x.num_elements());
    ForRows(m, [&](int64_t i, int64_t n) {
      vector().add_bias(x.f32() + i * m.cols, bias.f32(), n, m.cols, y.f32() + i * m.cols);
    });
    return absl::OkStatus();
  }
  absl::Status BiasBackward(const Tensor& d_y, const Tensor& d_bias) override {
    const MatrixView m(d_y);
    CheckFloat(d_bias, m.cols);
    if (m.rows == 0) return Fill(d_bias, 0.0f);
    const int64_t blocks = DivideUp(m.rows, kRowBlock);
    float* sums = context_.Shared(CpuContext::kSums, blocks * m.cols);
    context_.ForChunks(m.rows, kRowBlock, [&](int64_t i, int64_t n) {
      vector().column_sums(d_y.f32() + i * m.cols, n, m.cols, sums + i / kRowBlock * m.cols);
    });
    vector().sum_blocks(sums, blocks, m.cols, m.cols, d_bias.f32());
    return absl::OkStatus();
  }

  // --- Loss -----------------------------------------------------------------------------------

  absl::Status MarginSoftmax(const MarginParams& params, const Tensor& cosines, const Tensor& slots,
                             float grad_scale, const Tensor& losses, const Tensor& d_cosines,
                             const Tensor& predicted) override {
    const MatrixView m(cosines);
    CheckInt(slots, m.rows);
    CheckInt(predicted, m.rows);
    CheckFloat(losses, m.rows);
    CheckFloat(d_cosines, cosines.num_elements());
    for (int64_t i = 0; i < m.rows; ++i) {
      PROTOPAGE_CHECK(slots.i32()[i] >= 0 && slots.i32()[i] < m.cols);
    }
    const MarginStep step = {params, grad_scale};
    ForRows(m, [&](int64_t i, int64_t n) {
      vector().margin_softmax(step, cosines.f32() + i * m.cols, slots.i32() + i, n, m.cols,
                              losses.f32() + i, d_cosines.f32() + i * m.cols, predicted.i32() + i);
    });
    return absl::OkStatus();
  }
  absl::Status FindNonFinite(absl::Span<const Tensor> tensors, const Tensor& found) override {
    CheckInt(found, 1);
    std::atomic<bool> finite{true};
    PlanChunks(tensors.size(), [&](size_t i) { return tensors[i].num_elements(); });
    pool().ParallelFor(chunks_.size(), [&](int64_t task) {
      const Chunk& chunk = chunks_[task];
      if (!vector().all_finite(tensors[chunk.tensor].f32() + chunk.first, chunk.count)) {
        finite.store(false, std::memory_order_relaxed);
      }
    });
    found.i32()[0] = finite.load() ? 0 : 1;
    return absl::OkStatus();
  }

  // --- Optimizers -----------------------------------------------------------------------------

  absl::Status ClipNorm(absl::Span<const Tensor> tensors, float max_norm,
                        const Tensor& norm) override {
    CheckFloat(norm, 1);
    PlanChunks(tensors.size(), [&](size_t i) { return tensors[i].num_elements(); });
    const int64_t count = static_cast<int64_t>(chunks_.size());
    const auto at = [&](const Chunk& chunk) { return tensors[chunk.tensor].f32() + chunk.first; };
    double* sums = context_.Shared<double>(CpuContext::kSums, count);
    pool().ParallelFor(count, [&](int64_t task) {
      sums[task] = vector().square_sum(at(chunks_[task]), chunks_[task].count);
    });
    double total = 0.0;
    for (int64_t task = 0; task < count; ++task) total += sums[task];
    const double length = std::sqrt(total);
    norm.f32()[0] = static_cast<float>(length);
    if (!std::isfinite(length) || length <= static_cast<double>(max_norm)) return absl::OkStatus();
    const float factor = static_cast<float>(static_cast<double>(max_norm) / length);
    pool().ParallelFor(count, [&](int64_t task) {
      vector().scale(factor, chunks_[task].count, at(chunks_[task]));
    });
    return absl::OkStatus();
  }
  absl::Status AdamUpdate(const AdamParams& params,
                          absl::Span<const ParamUpdate> updates) override {
    AdamStep step = {};
    step.learning_rate = params.learning_rate;
    step.beta1 = params.beta1;
    step.beta2 = params.beta2;
    step.epsilon = params.epsilon;
    step.scale1 = params.step_size;
    step.inverse_sqrt_bias2 = params.inverse_sqrt_bias2;
    ForUpdates(updates, [&](const ParamUpdate& update, const UpdateRange& range) {
      PROTOPAGE_CHECK(range.state1 != nullptr && range.state2 != nullptr);
      AdamStep own = step;
      own.decay = update.decay ? 1.0f - params.learning_rate * params.weight_decay : 1.0f;
      vector().adam(own, range);
    });
    return absl::OkStatus();
  }
  absl::Status SgdUpdate(const SgdParams& params, absl::Span<const ParamUpdate> updates) override {
    ForUpdates(updates, [&](const ParamUpdate& update, const UpdateRange& range) {
      PROTOPAGE_CHECK(params.momentum == 0.0f || range.state1 != nullptr);
      const SgdStep step = {params.learning_rate, params.momentum,
                            update.decay ? params.weight_decay : 0.0f, params.nesterov};
      UpdateRange own = range;
      if (params.momentum == 0.0f) own.state1 = nullptr;
      vector().sgd(step, own);
    });
    return absl::OkStatus();
  }
  absl::Status RowMomentumUpdate(const RowMomentumParams& params, const Tensor& rows,
                                 const Tensor& velocity, const Tensor& away,
                                 const Tensor& d_rows) override {
    const MatrixView m(rows);
    CheckFloat(velocity, rows.num_elements());
    CheckFloat(d_rows, rows.num_elements());
    CheckInt(away, m.rows);
    ForRows(m, [&](int64_t i, int64_t n) {
      vector().row_momentum(params.learning_rate, params.momentum, n, m.cols,
                            rows.f32() + i * m.cols, velocity.f32() + i * m.cols, away.i32() + i,
                            d_rows.f32() + i * m.cols);
    });
    return absl::OkStatus();
  }
  absl::Status RowAdagradUpdate(const RowAdagradParams& params, const Tensor& rows,
                                const Tensor& accumulator, const Tensor& d_rows) override {
    const MatrixView m(rows);
    CheckFloat(accumulator, m.rows);
    CheckFloat(d_rows, rows.num_elements());
    ForRows(m, [&](int64_t i, int64_t n) {
      vector().row_adagrad(params.learning_rate, params.epsilon, n, m.cols, rows.f32() + i * m.cols,
                           accumulator.f32() + i, d_rows.f32() + i * m.cols);
    });
    return absl::OkStatus();
  }

 private:
  // A range of one tensor of a list.
  struct Chunk {
    size_t tensor;
    int64_t first, count;
  };

  ThreadPool& pool() const { return context_.pool(); }
  const VectorKernels& vector() const { return context_.vector(); }

  absl::StatusOr<std::shared_ptr<Buffer>> NewBuffer(int64_t bytes, absl::string_view what) const {
    PROTOPAGE_CHECK(bytes >= 0);
    // Aligned to a cache line, whole cache lines.
    const int64_t rounded = (bytes / 64 + 1) * 64;
    void* data = std::aligned_alloc(64, static_cast<size_t>(rounded));
    if (data == nullptr) {
      return absl::ResourceExhaustedError(
          absl::StrCat("out of memory: ", bytes, " bytes were asked for, for ", what));
    }
    std::memset(data, 0, static_cast<size_t>(rounded));
    return std::make_shared<HeapBuffer>(data, bytes, buffer_bytes_);
  }
  void CopyBytes(const void* src, void* dst, int64_t bytes) {
    context_.ForChunks(bytes, 4 * kChunk, [&](int64_t first, int64_t count) {
      std::memcpy(static_cast<char*>(dst) + first, static_cast<const char*>(src) + first,
                  static_cast<size_t>(count));
    });
  }
  template <typename Body>
  void ForElements(const Tensor& x, const Body& body) {
    context_.ForChunks(x.num_elements(), kChunk, body);
  }
  static int64_t ImagesPerTask(int64_t size) {
    return std::max<int64_t>(1, kChunk / std::max<int64_t>(1, size));
  }
  template <typename Body>
  void ForRows(const MatrixView& m, const Body& body) {
    context_.ForChunks(m.rows, ImagesPerTask(m.cols), body);
  }

  // Fills chunks_ with ranges of all of `n` tensors.
  template <typename Size>
  void PlanChunks(size_t n, const Size& size) {
    chunks_.clear();
    for (size_t i = 0; i < n; ++i) {
      const int64_t elements = size(i);
      for (int64_t first = 0; first < elements; first += kChunk) {
        chunks_.push_back({i, first, std::min(kChunk, elements - first)});
      }
    }
  }
  template <typename Body>
  void ForUpdates(absl::Span<const ParamUpdate> updates, const Body& body) {
    for (const ParamUpdate& update : updates) {
      const int64_t n = update.value.num_elements();
      CheckFloat(update.gradient, n);
      if (update.state1) CheckFloat(update.state1, n);
      if (update.state2) CheckFloat(update.state2, n);
    }
    PlanChunks(updates.size(), [&](size_t i) { return updates[i].value.num_elements(); });
    pool().ParallelFor(chunks_.size(), [&](int64_t task) {
      const Chunk& chunk = chunks_[task];
      const ParamUpdate& update = updates[chunk.tensor];
      const auto at = [&chunk](const Tensor& x) { return x ? x.f32() + chunk.first : nullptr; };
      body(update, UpdateRange{at(update.value), at(update.gradient), at(update.state1),
                               at(update.state2), chunk.count});
    });
  }

  void Normalize(const MatrixView& m, const Tensor& x, const float* mean, const float* scale,
                 const Tensor& beta, bool relu, const Tensor& y) {
    context_.ForChunks(m.rows, kRowBlock, [&](int64_t first, int64_t n) {
      vector().normalize_columns(x.f32() + first * m.cols, n, m.cols, mean, scale, beta.f32(), relu,
                                 y.f32() + first * m.cols);
    });
  }

  static PoolGeometry Geometry(const Window2d& w) {
    return {w.in_h,     w.in_w,     w.in_c,     w.out_h,   w.out_w,   w.kernel_h,
            w.kernel_w, w.stride_h, w.stride_w, w.pad_top, w.pad_left};
  }

  const std::shared_ptr<std::atomic<int64_t>> buffer_bytes_ =
      std::make_shared<std::atomic<int64_t>>(0);
  CpuContext context_;
  const std::string isa_;
  std::vector<Chunk> chunks_;  // Reused by calls that work on lists of tensors.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> NewCpuBackend(ThreadPool* pool,
                                                       const CpuBackendOptions& options) {
  std::string isa = options.isa;
  std::string named_by;
  if (isa == "auto") {
    const char* environment = std::getenv("PROTOPAGE_ISA");
    if (environment != nullptr && environment[0] != '\0') {
      isa = environment;
      named_by = " (from PROTOPAGE_ISA)";
    }
  }
  const bool has_avx2 = GetCpuFeatures().x86_64_v3;
  const bool has_avx512 = GetCpuFeatures().x86_64_v4;
  if (isa == "auto") isa = has_avx512 ? "avx512" : "avx2";
  if (isa != "avx2" && isa != "avx512") {
    return absl::InvalidArgumentError(
        absl::StrCat("instruction set \"", isa, "\"", named_by, " is none of: auto, avx2, avx512"));
  }
  if (!(isa == "avx2" ? has_avx2 : has_avx512)) {
    return absl::FailedPreconditionError(
        absl::StrCat("this processor does not have instruction set ", isa, named_by,
                     isa == "avx2" ? " (x86-64-v3), the least that is needed"
                                   : " (x86-64-v4); avx2 is what it has"));
  }
  const bool wide = isa == "avx512";
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(
      pool, isa, wide ? avx512::GetMatrixKernels() : avx2::GetMatrixKernels(),
      wide ? avx512::GetVectorKernels() : avx2::GetVectorKernels(),
      wide ? avx512::GetWinogradKernels() : avx2::GetWinogradKernels()));
}

}  // namespace protopage
