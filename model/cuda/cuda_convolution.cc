#include "protopage/model/cuda/cuda_convolution.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/cuda/column_kernels.h"
#include "protopage/model/cuda/cuda_status.h"
#include "protopage/model/cuda/elementwise_kernels.h"
#include "protopage/model/cuda/implicit_gemm.h"
#include "protopage/model/cuda/implicit_gradient.h"
#include "protopage/model/cuda/implicit_windows.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/window_kernels.h"

namespace protopage {
namespace {

constexpr int64_t kMaxIndex = std::numeric_limits<int32_t>::max();

struct Layout {
  explicit Layout(const Window2d& w)
      : image_positions(w.out_h * w.out_w),
        positions(w.batch * image_positions),
        depth(w.kernel_h * w.kernel_w * w.in_c),
        covers(w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1 &&
               w.in_h == w.out_h && w.in_w == w.out_w) {
    PROTOPAGE_CHECK(positions <= kMaxIndex && w.in_h * w.in_w * w.in_c <= kMaxIndex);
  }
  int64_t image_positions, positions;
  int64_t depth;  // Elements of a window.
  bool covers;    // Each window is a pixel, so that the matrix of the windows is x itself.
};

// Positions in a tile of columns with `bytes_per_element`: whole images if one fits.
int64_t TileRows(const CudaContext& context, const Window2d& window, const Layout& layout,
                 int64_t bytes_per_element) {
  const int64_t elements =
      std::min(kMaxIndex, context.options().workspace_bytes / bytes_per_element);
  const int64_t rows = std::max<int64_t>(1, elements / layout.depth);
  const int64_t images = rows / layout.image_positions;
  if (images == 0) return rows;
  // Tiles of about the same size.
  return DivideUp(window.batch, DivideUp(window.batch, images)) * layout.image_positions;
}

const void* At(const void* matrix, NumberFormat format, int64_t element) {
  return static_cast<const char*>(matrix) + element * BytesOf(format);
}
void* At(void* matrix, NumberFormat format, int64_t element) {
  return static_cast<char*>(matrix) + element * BytesOf(format);
}

// Calls body(first, rows) for tiles of the positions in order.
template <typename Body>
absl::Status ForTiles(const Layout& layout, int64_t tile, const Body& body) {
  for (int64_t first = 0; first < layout.positions; first += tile) {
    PROTOPAGE_RETURN_IF_ERROR(body(first, std::min(tile, layout.positions - first)));
  }
  return absl::OkStatus();
}

// Positions in a tile of products with `cols` columns that become a feature map: all, if the
// products are computed in place.
int64_t ProductTile(const CudaContext& context, const Layout& layout, int64_t cols) {
  if (context.format() == NumberFormat::kFloat32) return layout.positions;
  const int64_t rows = context.options().workspace_bytes / (cols * BytesOf(NumberFormat::kFloat32));
  return std::clamp<int64_t>(rows, 1, layout.positions);
}

// Positions in a tile of columns.
int64_t ColumnTile(const CudaContext& context, const Window2d& window, const Layout& layout) {
  if (layout.covers) return layout.positions;
  return TileRows(context, window, layout, BytesOf(context.format()));
}

// Calls body(first, rows, columns) for each tile of `tile` positions.
template <typename Body>
absl::Status ForColumns(CudaContext& context, const Window2d& window, const Layout& layout,
                        int64_t tile, const void* x, const Body& body) {
  const NumberFormat format = context.format();
  if (layout.covers) {
    return ForTiles(layout, tile, [&](int64_t first, int64_t rows) {
      return body(first, rows, At(x, format, first * layout.depth));
    });
  }
  PROTOPAGE_ASSIGN_OR_RETURN(
      char* columns,
      context.Scratch<char>(CudaContext::kColumns, tile * layout.depth * BytesOf(format)));
  return ForTiles(layout, tile, [&](int64_t first, int64_t rows) -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(
        CudaStatus(LaunchIm2Col(context.stream(), window, format, x, first, rows, columns)));
    return body(first, rows, columns);
  });
}

// Where to compute a product of `n` floats that becomes the feature map `map`: in `map` itself, or
// in scratch from which it is then rounded.
absl::StatusOr<float*> ProductOf(CudaContext& context, void* map, int64_t n) {
  if (context.format() == NumberFormat::kFloat32) return static_cast<float*>(map);
  return context.Scratch(CudaContext::kProduct, n);
}

// Whether to compute a convolution by LaunchImplicitGemm.
bool IsImplicit(const CudaContext& context, const Window2d& window) {
  if (!ImplicitGemmSupports(window)) return false;
  switch (context.options().convolutions) {
    case ConvolutionMethod::kColumns:
      return false;
    case ConvolutionMethod::kImplicit:
      return true;
    case ConvolutionMethod::kFastest:
      break;
  }
  return ImplicitGemmIsFaster(window, context.options().precision);
}

// Packs the kernel by pack(packed) and multiplies; x must have ImplicitChannels().
template <typename Pack>
absl::Status ImplicitConvolution(CudaContext& context, const Window2d& window, const void* x,
                                 const Pack& pack, const float* bias, bool relu, void* y) {
  const Precision precision = context.options().precision;
  PROTOPAGE_ASSIGN_OR_RETURN(
      char* const packed,
      context.Scratch<char>(CudaContext::kRoundedB, PackedKernelBytes(window, precision)));
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(pack(packed)));
  return CudaStatus(
      LaunchImplicitGemm(context.stream(), window, precision, x, packed, bias, relu, y));
}

// x with ImplicitChannels(): x itself or a padded copy.
absl::StatusOr<const void*> WholePacks(CudaContext& context, const Window2d& window,
                                       const void* x) {
  const Precision precision = context.options().precision;
  const int64_t channels = ImplicitChannels(precision, window.in_c);
  if (channels == window.in_c) return x;
  const int64_t pixels = window.batch * window.in_h * window.in_w;
  PROTOPAGE_ASSIGN_OR_RETURN(
      char* const padded,
      context.Scratch<char>(CudaContext::kColumns, pixels * channels * BytesOf(context.format())));
  PROTOPAGE_RETURN_IF_ERROR(
      CudaStatus(LaunchPadChannels(context.stream(), precision, x, pixels, window.in_c, padded)));
  return padded;
}

// Where to compute `parts` partial sums of d_w [size]: in d_w itself if there is only one.
absl::StatusOr<float*> PartSums(CudaContext& context, int64_t parts, int64_t size, float* d_w) {
  if (parts == 1) return d_w;
  return context.Scratch(CudaContext::kPartials, parts * size);
}
absl::Status SumParts(const CudaContext& context, const float* sums, int64_t parts, int64_t size,
                      float* d_w) {
  if (parts == 1) return absl::OkStatus();
  return CudaStatus(LaunchSumParts(context.stream(), sums, parts, size, d_w));
}

// d_w [depth, out_c] = columns^T d_y is small, but a sum over all positions. Concurrent products of
// parts of a tile occupy the whole device; their results are then summed in order.
absl::Status KernelGradient(CudaContext& context, const Window2d& window, const Layout& layout,
                            const void* x, const void* d_y, float* d_w) {
  // Roughly, the blocks of threads that a device runs at once, and the part of d_w that a block of
  // cuBLAS computes.
  constexpr int64_t kBlocks = 256, kBlockRows = 128, kBlockCols = 64;
  constexpr int64_t kLeastPositions = 512;
  const int64_t blocks = DivideUp(layout.depth, kBlockRows) * DivideUp(window.out_c, kBlockCols);
  const int64_t tile = std::min(layout.positions, ColumnTile(context, window, layout));
  const int64_t part = std::max(kLeastPositions, DivideUp(tile, DivideUp(kBlocks, blocks)));
  const int64_t parts = DivideUp(tile, part);
  const int64_t size = layout.depth * window.out_c;
  PROTOPAGE_ASSIGN_OR_RETURN(float* const sums, PartSums(context, parts, size, d_w));
  const NumberFormat format = context.format();
  PROTOPAGE_RETURN_IF_ERROR(ForColumns(
      context, window, layout, tile, x,
      [&](int64_t first, int64_t rows, const void* columns) -> absl::Status {
        // Computes `count` products of `positions` positions each, from part `number` of the tile
        // on.
        const auto multiply = [&](int64_t number, int64_t positions, int64_t count) {
          const int64_t begin = number * part;
          CudaContext::Product product = {};
          product.rows = layout.depth, product.cols = window.out_c, product.depth = positions;
          product.a = At(columns, format, begin * layout.depth);
          product.transpose_a = true;
          product.b = At(d_y, format, (first + begin) * window.out_c);
          product.alpha = 1.0f;
          product.beta = first == 0 ? 0.0f : 1.0f;
          product.c = sums + number * size;
          product.count = count;
          product.a_step = positions * layout.depth;
          product.b_step = positions * window.out_c;
          product.c_step = size;
          return context.Multiply(product);
        };
        const int64_t whole = rows / part, rest = rows % part;
        if (whole > 0) PROTOPAGE_RETURN_IF_ERROR(multiply(0, part, whole));
        return rest > 0 ? multiply(whole, rest, 1) : absl::OkStatus();
      }));
  return SumParts(context, sums, parts, size, d_w);
}

absl::Status ImplicitKernelGradient(CudaContext& context, const Window2d& window,
                                    const Layout& layout, const void* x, const void* d_y,
                                    float* d_w) {
  const int64_t parts = ImplicitGradientParts(window);
  const int64_t size = layout.depth * window.out_c;
  PROTOPAGE_ASSIGN_OR_RETURN(float* const sums, PartSums(context, parts, size, d_w));
  PROTOPAGE_ASSIGN_OR_RETURN(const void* const packs, WholePacks(context, window, x));
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(LaunchImplicitGradient(
      context.stream(), window, context.options().precision, packs, d_y, parts, sums)));
  return SumParts(context, sums, parts, size, d_w);
}

}  // namespace

absl::Status ConvolutionForward(CudaContext& context, const Window2d& window, const void* x,
                                const float* w, const float* bias, bool relu, void* y) {
  const Layout layout(window);
  if (IsImplicit(context, window)) {
    PROTOPAGE_ASSIGN_OR_RETURN(const void* const packs, WholePacks(context, window, x));
    const auto pack = [&](void* packed) {
      return LaunchPackKernel(context.stream(), window, context.options().precision, w, packed);
    };
    return ImplicitConvolution(context, window, packs, pack, bias, relu, y);
  }
  const NumberFormat format = context.format();
  PROTOPAGE_ASSIGN_OR_RETURN(
      const void* kernel, context.Rounded(CudaContext::kRoundedB, w, layout.depth * window.out_c));
  const int64_t tile =
      std::min(ColumnTile(context, window, layout), ProductTile(context, layout, window.out_c));
  return ForColumns(
      context, window, layout, tile, x,
      [&](int64_t first, int64_t rows, const void* columns) -> absl::Status {
        void* const y_tile = At(y, format, first * window.out_c);
        CudaContext::Product product = {};
        product.rows = rows, product.cols = window.out_c, product.depth = layout.depth;
        product.a = columns;
        product.b = kernel;
        product.alpha = 1.0f;
        PROTOPAGE_ASSIGN_OR_RETURN(product.c, ProductOf(context, y_tile, rows * window.out_c));
        PROTOPAGE_RETURN_IF_ERROR(context.Multiply(product));
        if (product.c == y_tile && bias == nullptr && !relu) return absl::OkStatus();
        // Per tile, while it is still in the cache.
        return CudaStatus(LaunchBiasRelu(context.stream(), product.c, bias, relu, rows,
                                         window.out_c, format, y_tile));
      });
}

absl::Status ConvolutionBackward(CudaContext& context, const Window2d& window, const void* x,
                                 const float* w, const void* y, void* d_y, void* d_x, float* d_w,
                                 float* d_bias) {
  const Layout layout(window);
  const NumberFormat format = context.format();
  const cudaStream_t stream = context.stream();

  if (y != nullptr || d_bias != nullptr) {
    PROTOPAGE_ASSIGN_OR_RETURN(
        float* partials,
        context.Scratch(CudaContext::kSums, ColumnPartials(layout.positions, window.out_c, 1)));
    PROTOPAGE_RETURN_IF_ERROR(CudaStatus(LaunchOutputGradient(
        stream, format, y, layout.positions, window.out_c, d_y, partials, d_bias)));
  }

  PROTOPAGE_RETURN_IF_ERROR(IsImplicit(context, window)
                                ? ImplicitKernelGradient(context, window, layout, x, d_y, d_w)
                                : KernelGradient(context, window, layout, x, d_y, d_w));
  if (d_x == nullptr) return absl::OkStatus();
  if (HasGradientWindow(window) && IsImplicit(context, GradientWindow(window))) {
    const Window2d gradient = GradientWindow(window);
    PROTOPAGE_ASSIGN_OR_RETURN(const void* const packs, WholePacks(context, gradient, d_y));
    const auto pack = [&](void* packed) {
      return LaunchPackFlippedKernel(stream, window, context.options().precision, w, packed);
    };
    return ImplicitConvolution(context, gradient, packs, pack, /*bias=*/nullptr,
                               /*relu=*/false, d_x);
  }

  PROTOPAGE_ASSIGN_OR_RETURN(
      const void* kernel, context.Rounded(CudaContext::kRoundedB, w, layout.depth * window.out_c));
  // d_columns [rows, depth] = d_y w^T
  const auto columns_gradient = [&](int64_t first, int64_t rows, float* d_columns) {
    CudaContext::Product product = {};
    product.rows = rows, product.cols = layout.depth, product.depth = window.out_c;
    product.a = At(d_y, format, first * window.out_c);
    product.b = kernel;
    product.transpose_b = true;
    product.alpha = 1.0f;
    product.c = d_columns;
    return context.Multiply(product);
  };
  if (layout.covers) {
    const auto multiply = [&](int64_t first, int64_t rows) -> absl::Status {
      void* const d_x_tile = At(d_x, format, first * layout.depth);
      const int64_t size = rows * layout.depth;
      PROTOPAGE_ASSIGN_OR_RETURN(float* const product, ProductOf(context, d_x_tile, size));
      PROTOPAGE_RETURN_IF_ERROR(columns_gradient(first, rows, product));
      if (product == d_x_tile) return absl::OkStatus();
      return CudaStatus(
          LaunchConvert(stream, NumberFormat::kFloat32, product, size, format, d_x_tile));
    };
    return ForTiles(layout, ProductTile(context, layout, layout.depth), multiply);
  }

  const int64_t tile = TileRows(context, window, layout, sizeof(float));
  const bool whole_images = tile % layout.image_positions == 0;
  if (!whole_images) {
    const int64_t size = window.batch * window.in_h * window.in_w * window.in_c;
    PROTOPAGE_RETURN_IF_ERROR(
        CudaStatus(cudaMemsetAsync(d_x, 0, static_cast<size_t>(size * BytesOf(format)), stream)));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(float* d_columns,
                             context.Scratch(CudaContext::kColumns, tile * layout.depth));
  return ForTiles(layout, tile, [&](int64_t first, int64_t rows) -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(columns_gradient(first, rows, d_columns));
    return CudaStatus(
        LaunchCol2Im(stream, window, d_columns, first, rows, !whole_images, format, d_x));
  });
}

}  // namespace protopage
