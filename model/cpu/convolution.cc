#include "protopage/model/cpu/convolution.h"

#include <algorithm>
#include <cstring>

#include "protopage/base/divide_up.h"
#include "protopage/model/cpu/convolution_parts.h"
#include "protopage/model/cpu/winograd.h"

namespace protopage {
namespace {

// Rows of a product that share one pass over the packed kernel: enough that reading it, from L3
// when it is large, costs little next to the arithmetic.
constexpr int64_t kRowsPerBlock = 128;
// Positions whose gradients are summed in registers before the kernel's gradient is read and
// written again; their d_y and their windows' rows fit in L1.
constexpr int64_t kPositionsPerSum = 160;

// Sizes that follow from a window.
struct Layout {
  explicit Layout(const Window2d& window, int64_t panel)
      : positions(window.out_h * window.out_w),
        run_length(window.kernel_w * window.in_c),
        depth(window.kernel_h * run_length),
        padded_h((window.out_h - 1) * window.stride_h + window.kernel_h),
        padded_w((window.out_w - 1) * window.stride_w + window.kernel_w),
        padded(window.pad_top > 0 || window.pad_left > 0 || padded_h > window.in_h ||
               padded_w > window.in_w),
        image_size(window.in_h * window.in_w * window.in_c),
        row_stride((padded ? padded_w : window.in_w) * window.in_c),
        source_size(padded ? padded_h * row_stride : image_size),
        images_per_block(std::max<int64_t>(1, kRowsPerBlock / positions)),
        out_panels(DivideUp(window.out_c, panel)),
        in_panels(DivideUp(window.in_c, panel)) {}

  int64_t positions;   // Output positions of an image.
  int64_t run_length;  // Floats of one row of a window.
  int64_t depth;       // Floats of a window: rows of the kernel as a matrix.
  int64_t padded_h, padded_w;
  bool padded;          // Windows are read from a padded copy.
  int64_t image_size;   // Floats of an image.
  int64_t row_stride;   // Of the image or its copy, from which windows are read.
  int64_t source_size;  // Floats of an image, or of its copy.
  int64_t images_per_block;
  int64_t out_panels, in_panels;
};

// Copies one image into zeros, which begin pad_top rows and pad_left columns before it.
void PadImage(const Window2d& window, const Layout& layout, const float* x, float* padded) {
  const int64_t left = window.pad_left * window.in_c;
  const int64_t width = std::min(window.in_w, layout.padded_w - window.pad_left) * window.in_c;
  const int64_t right = layout.row_stride - left - width;
  for (int64_t row = 0; row < layout.padded_h; ++row) {
    float* out = padded + row * layout.row_stride;
    const int64_t source = row - window.pad_top;
    if (source < 0 || source >= window.in_h) {
      std::memset(out, 0, sizeof(float) * layout.row_stride);
      continue;
    }
    std::memset(out, 0, sizeof(float) * left);
    std::memcpy(out + left, x + source * window.in_w * window.in_c, sizeof(float) * width);
    std::memset(out + left + width, 0, sizeof(float) * right);
  }
}

// The inverse: the part of `padded` inside the image; zero where no window reads.
void CropImage(const Window2d& window, const Layout& layout, const float* padded, float* x) {
  const int64_t in_width = window.in_w * window.in_c;
  const int64_t width = std::min(window.in_w, layout.padded_w - window.pad_left) * window.in_c;
  for (int64_t row = 0; row < window.in_h; ++row) {
    float* out = x + row * in_width;
    const int64_t source = row + window.pad_top;
    if (source >= layout.padded_h) {
      std::memset(out, 0, sizeof(float) * in_width);
      continue;
    }
    std::memcpy(out, padded + source * layout.row_stride + window.pad_left * window.in_c,
                sizeof(float) * width);
    std::memset(out + width, 0, sizeof(float) * (in_width - width));
  }
}

// The images [first, first + count) as windows are read from them: x itself, or `copies`.
const float* SourceImages(const Window2d& window, const Layout& layout, const float* x,
                          int64_t first, int64_t count, float* copies) {
  if (!layout.padded) return x + first * layout.image_size;
  for (int64_t i = 0; i < count; ++i) {
    PadImage(window, layout, x + (first + i) * layout.image_size, copies + i * layout.source_size);
  }
  return copies;
}

// Where the windows of a block of images begin in its source images, and its rows of y.
void BlockOffsets(const Window2d& window, const Layout& layout, int64_t* windows,
                  int64_t* outputs) {
  int64_t i = 0;
  for (int64_t image = 0; image < layout.images_per_block; ++image) {
    for (int64_t row = 0; row < window.out_h; ++row) {
      for (int64_t column = 0; column < window.out_w; ++column, ++i) {
        windows[i] = image * layout.source_size + row * window.stride_h * layout.row_stride +
                     column * window.stride_w * window.in_c;
        outputs[i] = i * window.out_c;
      }
    }
  }
}

// Everything that the tasks of one backward call read.
struct Backward {
  CpuContext& context;
  const Window2d& window;
  const Layout& layout;
  const int64_t* windows;  // See BlockOffsets.
  const int64_t* outputs;
  const float* kernel;  // For d_x: [kernel_h * kernel_w][in_panels][out_c][panel].
};

// d_x of `count` <= images_per_block images: each position of a window in turn adds
// d_y w[position]^T to the pixels that it reads.
void InputGradient(const Backward& backward, int thread, int64_t first, int64_t count,
                   const float* d_y, float* d_x) {
  const Window2d& window = backward.window;
  const Layout& layout = backward.layout;
  CpuContext& context = backward.context;
  float* target = layout.padded ? context.ForThread(thread, CpuContext::kThreadGradient,
                                                    layout.images_per_block * layout.source_size)
                                : d_x + first * layout.image_size;
  // A kernel of one position that reads every pixel once overwrites instead of adding.
  const bool covers = window.kernel_h == 1 && window.kernel_w == 1 && window.stride_h == 1 &&
                      window.stride_w == 1 && layout.positions * window.in_c == layout.source_size;
  if (!covers) std::memset(target, 0, sizeof(float) * count * layout.source_size);
  const int64_t panel_stride = window.out_c * context.matrix().panel;
  for (int64_t kh = 0; kh < window.kernel_h; ++kh) {
    for (int64_t kw = 0; kw < window.kernel_w; ++kw) {
      RowProduct product = {};
      product.a = d_y + first * layout.positions * window.out_c;
      product.a_offsets = backward.outputs;
      product.rows = count * layout.positions;
      product.runs = 1;
      product.run_length = window.out_c;
      product.b = backward.kernel + (kh * window.kernel_w + kw) * layout.in_panels * panel_stride;
      product.b_panel_stride = panel_stride;
      product.n = window.in_c;
      product.c = target + kh * layout.row_stride + kw * window.in_c;
      product.c_offsets = backward.windows;
      product.accumulate = !covers;
      context.matrix().multiply_rows(product);
    }
  }
  if (layout.padded) {
    for (int64_t i = 0; i < count; ++i) {
      CropImage(window, layout, target + i * layout.source_size,
                d_x + (first + i) * layout.image_size);
    }
  }
}

// Adds x^T d_y of `count` <= images_per_block images to the columns of `num_panels` panels of the
// kernel's gradient, from `first_panel` on: d_w [depth, d_w_stride].
void AddKernelGradient(const Backward& backward, int thread, const float* source, int64_t count,
                       const float* d_y, int64_t first_panel, int64_t num_panels, float* d_w,
                       int64_t d_w_stride) {
  const Window2d& window = backward.window;
  const Layout& layout = backward.layout;
  CpuContext& context = backward.context;
  const int64_t panel = context.matrix().panel;
  const int64_t columns = std::min(num_panels * panel, window.out_c - first_panel * panel);
  float* packed =
      context.ForThread(thread, CpuContext::kThreadPanels, num_panels * panel * kPositionsPerSum);
  const int64_t end = count * layout.positions;
  // Steps of equal size, none longer than kPositionsPerSum.
  const int64_t step = DivideUp(end, DivideUp(end, kPositionsPerSum));
  for (int64_t first = 0; first < end; first += step) {
    const int64_t positions = std::min(step, end - first);
    context.matrix().pack(d_y + first * window.out_c + first_panel * panel, positions, columns,
                          window.out_c, 1, 1.0f, packed);
    for (int64_t p = 0; p < num_panels; ++p) {
      for (int64_t kh = 0; kh < window.kernel_h; ++kh) {
        OuterProduct product = {};
        product.a = source + kh * layout.row_stride;
        product.a_offsets = backward.windows + first;
        product.positions = positions;
        product.b = packed + p * panel * positions;
        product.m = layout.run_length;
        product.c = d_w + kh * layout.run_length * d_w_stride + p * panel;
        product.c_stride = d_w_stride;
        context.matrix().add_outer(product);
      }
    }
  }
}

}  // namespace

void ConvolutionForward(CpuContext& context, const Window2d& window, const float* x, const float* w,
                        const float* bias, bool relu, float* y) {
  if (WinogradTakes(context, window)) {
    return WinogradForward(context, window, x, w, bias, relu, y);
  }
  const MatrixKernels& matrix = context.matrix();
  const Layout layout(window, matrix.panel);
  float* packed =
      context.Shared(CpuContext::kPacked, layout.out_panels * layout.depth * matrix.panel);
  context.ForChunks(window.out_c, 8 * matrix.panel, [&](int64_t first, int64_t count) {
    matrix.pack(w + first, layout.depth, count, window.out_c, 1, 1.0f,
                packed + first * layout.depth);
  });
  const int64_t block_rows = layout.images_per_block * layout.positions;
  int64_t* windows = context.Shared<int64_t>(CpuContext::kOffsetsA, block_rows);
  int64_t* outputs = context.Shared<int64_t>(CpuContext::kOffsetsC, block_rows);
  BlockOffsets(window, layout, windows, outputs);
  const int64_t blocks = DivideUp(window.batch, layout.images_per_block);
  context.pool().ParallelForThread(blocks, [&](int64_t block, int thread) {
    const int64_t first = block * layout.images_per_block;
    const int64_t count = std::min(layout.images_per_block, window.batch - first);
    float* copies = layout.padded ? context.ForThread(thread, CpuContext::kThreadImages,
                                                      layout.images_per_block * layout.source_size)
                                  : nullptr;
    RowProduct product = {};
    product.a = SourceImages(window, layout, x, first, count, copies);
    product.a_offsets = windows;
    product.rows = count * layout.positions;
    product.runs = window.kernel_h;
    product.run_length = layout.run_length;
    product.run_stride = layout.row_stride;
    product.b = packed;
    product.b_panel_stride = layout.depth * matrix.panel;
    product.n = window.out_c;
    product.c = y + first * layout.positions * window.out_c;
    product.c_offsets = outputs;
    product.bias = bias;
    product.relu = relu;
    matrix.multiply_rows(product);
  });
}

void ConvolutionBackward(CpuContext& context, const Window2d& window, const float* x,
                         const float* w, const float* y, float* d_y, float* d_x, float* d_w,
                         float* d_bias) {
  if (WinogradTakes(context, window)) {
    return WinogradBackward(context, window, x, w, y, d_y, d_x, d_w, d_bias);
  }
  const MatrixKernels& matrix = context.matrix();
  const VectorKernels& vector = context.vector();
  const Layout layout(window, matrix.panel);
  const int64_t out_size = layout.positions * window.out_c;

  const int64_t block_rows = layout.images_per_block * layout.positions;
  int64_t* windows = context.Shared<int64_t>(CpuContext::kOffsetsA, block_rows);
  int64_t* outputs = context.Shared<int64_t>(CpuContext::kOffsetsC, block_rows);
  BlockOffsets(window, layout, windows, outputs);

  float* kernel = nullptr;
  if (d_x != nullptr) {
    const int64_t taps = window.kernel_h * window.kernel_w;
    const int64_t tap_size = layout.in_panels * window.out_c * matrix.panel;
    kernel = context.Shared(CpuContext::kPackedBackward, taps * tap_size);
    context.pool().ParallelFor(taps, [&](int64_t tap) {
      matrix.pack(w + tap * window.in_c * window.out_c, window.out_c, window.in_c, 1, window.out_c,
                  1.0f, kernel + tap * tap_size);
    });
  }
  const Backward backward = {context, window, layout, windows, outputs, kernel};

  // The kernel's gradient with a row for the bias below it.
  const int64_t d_w_stride = layout.out_panels * matrix.panel;
  const int64_t partial_size = (layout.depth + 1) * d_w_stride;
  const bool partials_fit = layout.depth * d_w_stride <= kMaxPartialSize;
  // Blocks of the batch: each has as many images as a block of rows, or a multiple.
  const int64_t row_blocks = DivideUp(window.batch, layout.images_per_block);
  const int64_t images_per_partial =
      DivideUp(row_blocks, std::min(row_blocks, kMaxPartials)) * layout.images_per_block;
  const int64_t blocks = DivideUp(window.batch, images_per_partial);
  float* partials = partials_fit ? context.Shared(CpuContext::kPartials, blocks * partial_size)
                                 : context.Shared(CpuContext::kPartials, blocks * window.out_c);
  float* copies_of_all =
      !partials_fit && layout.padded
          ? context.Shared(CpuContext::kImages, window.batch * layout.source_size)
          : nullptr;

  context.pool().ParallelForThread(blocks, [&](int64_t block, int thread) {
    float* partial = partials + block * (partials_fit ? partial_size : window.out_c);
    float* bias_sums = partials_fit ? partial + layout.depth * d_w_stride : partial;
    std::memset(partial, 0, sizeof(float) * (partials_fit ? partial_size : window.out_c));
    float* copies = nullptr;
    if (layout.padded && partials_fit) {
      copies = context.ForThread(thread, CpuContext::kThreadImages,
                                 layout.images_per_block * layout.source_size);
    }
    float* sums = context.ForThread(thread, CpuContext::kThreadSums, window.out_c);
    const int64_t end = std::min(window.batch, (block + 1) * images_per_partial);
    for (int64_t first = block * images_per_partial; first < end;
         first += layout.images_per_block) {
      const int64_t count = std::min(layout.images_per_block, end - first);
      float* block_d_y = d_y + first * out_size;
      PrepareOutputGradient(vector, y != nullptr ? y + first * out_size : nullptr,
                            count * layout.positions, window.out_c, d_bias != nullptr, block_d_y,
                            sums, bias_sums);
      if (partials_fit) {
        const float* source = SourceImages(window, layout, x, first, count, copies);
        AddKernelGradient(backward, thread, source, count, block_d_y, 0, layout.out_panels, partial,
                          d_w_stride);
      } else if (layout.padded) {
        SourceImages(window, layout, x, first, count, copies_of_all + first * layout.source_size);
      }
      if (d_x != nullptr) InputGradient(backward, thread, first, count, d_y, d_x);
    }
  });

  if (partials_fit) {
    context.ForChunks(layout.depth, std::max<int64_t>(1, 4096 / d_w_stride),
                      [&](int64_t first, int64_t count) {
                        float* total = partials + first * d_w_stride;
                        vector.sum_blocks(total, blocks, partial_size, count * d_w_stride, total);
                        vector.copy_rows(total, d_w_stride, count, window.out_c,
                                         d_w + first * window.out_c, window.out_c);
                      });
    if (d_bias != nullptr) {
      vector.sum_blocks(partials + layout.depth * d_w_stride, blocks, partial_size, window.out_c,
                        d_bias);
    }
    return;
  }
  if (d_bias != nullptr) {
    vector.sum_blocks(partials, blocks, window.out_c, window.out_c, d_bias);
  }
  const float* source = layout.padded ? copies_of_all : x;
  context.pool().ParallelForThread(layout.out_panels, [&](int64_t p, int thread) {
    float* gradient =
        context.ForThread(thread, CpuContext::kThreadGradient, layout.depth * matrix.panel);
    std::memset(gradient, 0, sizeof(float) * layout.depth * matrix.panel);
    for (int64_t first = 0; first < window.batch; first += layout.images_per_block) {
      const int64_t count = std::min(layout.images_per_block, window.batch - first);
      AddKernelGradient(backward, thread, source + first * layout.source_size, count,
                        d_y + first * out_size, p, 1, gradient, matrix.panel);
    }
    const int64_t columns = std::min(matrix.panel, window.out_c - p * matrix.panel);
    vector.copy_rows(gradient, matrix.panel, layout.depth, columns, d_w + p * matrix.panel,
                     window.out_c);
  });
}

}  // namespace protopage
