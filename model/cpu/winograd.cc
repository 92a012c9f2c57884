#include "protopage/model/cpu/winograd.h"

#include <algorithm>
#include <cstring>

#include "protopage/base/divide_up.h"
#include "protopage/model/cpu/convolution_parts.h"

namespace protopage {
namespace {

constexpr int64_t kElements = 16;  // Of a tile: 4 x 4.
// Tiles that are transformed and multiplied together: so many that their transforms stay in a
// core's L2 cache, or more for a kernel that does not and is read for each group; in whole tiles of
// rows of the products.
constexpr int64_t kGroupFloats = int64_t{64} << 10;
constexpr int64_t kLeastTiles = 36, kMostTiles = 96, kTilesMultiple = 12;
// Columns of the products that are transformed together.
constexpr int64_t kColumns = 64;
// The least number of blocks of a batch that has as many images.
constexpr int64_t kLeastPartials = 8;

// Floats from one of the 16 elements to the next, for so many: a line more, or all of them would
// lie in one set of the L1 cache.
int64_t Stride(int64_t floats) { return floats + 16; }

// Sizes that follow from a window. Tiles are numbered through the batch, row by row of an image.
struct Layout {
  Layout(const Window2d& of, int64_t panel)
      : window(of),
        tile_columns(DivideUp(of.out_w, 2)),
        image_tiles(DivideUp(of.out_h, 2) * tile_columns),
        image_size(of.in_h * of.in_w * of.in_c),
        out_size(of.out_h * of.out_w * of.out_c),
        size(of.in_c * of.out_c),
        columns(std::min(kColumns, of.out_c)),
        panel(panel) {
    const int64_t fit =
        std::max(kGroupFloats, kElements * size / 4) / (kElements * (of.in_c + columns));
    group = std::clamp(fit / kTilesMultiple * kTilesMultiple, kLeastTiles, kMostTiles);
  }

  // Tiles of the groups that so many are cut into: `least` groups or more of about one size.
  int64_t GroupOf(int64_t tiles, int64_t least = 1) const {
    const int64_t size_of_one = DivideUp(tiles, std::max(least, DivideUp(tiles, group)));
    return DivideUp(size_of_one, kTilesMultiple) * kTilesMultiple;
  }

  // Where the 16 pixels of a tile are; those outside of the image are `outside`.
  template <typename Float>
  void Pixels(int64_t tile, Float* x, Float* outside, Float* (&pixels)[kElements]) const {
    const int64_t top = Top(tile) - window.pad_top, left = Left(tile) - window.pad_left;
    Float* const image = x + tile / image_tiles * image_size;
    for (int64_t i = 0; i < kElements; ++i) {
      const int64_t row = top + i / 4, column = left + i % 4;
      const bool inside = row >= 0 && row < window.in_h && column >= 0 && column < window.in_w;
      pixels[i] = inside ? image + (row * window.in_w + column) * window.in_c : outside;
    }
  }
  // Where its 4 positions are, from `channel` on; those outside of y are `outside`.
  template <typename Float>
  void Positions(int64_t tile, int64_t channel, Float* y, Float* outside,
                 Float* (&positions)[4]) const {
    const int64_t top = Top(tile), left = Left(tile);
    Float* const image = y + tile / image_tiles * out_size + channel;
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t row = top + i / 2, column = left + i % 2;
      const bool inside = row < window.out_h && column < window.out_w;
      positions[i] = inside ? image + (row * window.out_w + column) * window.out_c : outside;
    }
  }
  // The first position of a tile.
  int64_t Top(int64_t tile) const { return tile % image_tiles / tile_columns * 2; }
  int64_t Left(int64_t tile) const { return tile % image_tiles % tile_columns * 2; }

  const Window2d& window;
  int64_t tile_columns, image_tiles;
  int64_t image_size, out_size;  // Floats of an image of x and of y.
  int64_t size;                  // Of one of the 16 matrices of the kernel.
  int64_t columns;               // See kColumns.
  int64_t panel;
  int64_t group = 0;  // Tiles, at most.
};

// Everything that the tasks of one call read.
struct Call {
  CpuContext& context;
  const Layout& layout;
  const int64_t* tile_offsets;   // [group]: of rows of in_c floats.
  const int64_t* other_offsets;  // Forward: of rows of `columns` floats; backward: of a panel.
};

// The kernel's 16 matrices [in_c, out_c].
float* TransformKernel(CpuContext& context, const Layout& layout, const float* w) {
  float* const u = context.Shared(CpuContext::kKernel, kElements * layout.size);
  context.ForChunks(layout.size, 4096, [&](int64_t first, int64_t count) {
    context.winograd().transform_kernel(w + first, layout.size, count, u + first, layout.size);
  });
  return u;
}

int64_t* Offsets(CpuContext& context, CpuContext::SharedSlot slot, int64_t count, int64_t step) {
  auto* const offsets = context.Shared<int64_t>(slot, count);
  for (int64_t i = 0; i < count; ++i) offsets[i] = i * step;
  return offsets;
}

// v [16][tiles][in_c] = b(x) of the tiles [first, first + count).
void TransformTiles(const Call& call, const float* x, const float* zeros, int64_t first,
                    int64_t count, float* v) {
  const Window2d& window = call.layout.window;
  for (int64_t t = 0; t < count; ++t) {
    const float* pixels[kElements];
    call.layout.Pixels(first + t, x, zeros, pixels);
    call.context.winograd().transform_input(pixels, window.in_c, v + t * window.in_c,
                                            Stride(count * window.in_c));
  }
}

// d_x += b'(d_v) of the tiles; their pixels outside of the images are added to `nowhere`.
void AddInputGradient(const Call& call, const float* d_v, float* nowhere, int64_t first,
                      int64_t count, float* d_x) {
  const Window2d& window = call.layout.window;
  for (int64_t t = 0; t < count; ++t) {
    float* pixels[kElements];
    call.layout.Pixels(first + t, d_x, nowhere, pixels);
    call.context.winograd().add_input_gradient(d_v + t * window.in_c, Stride(count * window.in_c),
                                               window.in_c, pixels);
  }
}

// d_m [16][panels][count][panel] = a'(d_y) of the tiles and of `columns` channels from `channel`
// on.
void TransformGradient(const Call& call, const float* d_y, const float* zeros, int64_t first,
                       int64_t count, int64_t channel, int64_t columns, float* d_m) {
  const int64_t panel = call.layout.panel;
  for (int64_t c = 0; c < columns; c += panel) {
    for (int64_t t = 0; t < count; ++t) {
      const float* positions[4];
      call.layout.Positions(first + t, channel + c, d_y, zeros, positions);
      call.context.winograd().transform_output_gradient(
          positions, panel, d_m + (c / panel * count + t) * panel, Stride(columns * count));
    }
  }
}

// d_u[i] [in_c, d_u_stride] += v[i]^T d_m[i], for `columns` of its columns.
void AddKernelGradient(const Call& call, const float* v, const float* d_m, int64_t count,
                       int64_t columns, float* d_u, int64_t d_u_stride) {
  const int64_t panel = call.layout.panel, in_c = call.layout.window.in_c;
  for (int64_t i = 0; i < kElements; ++i) {
    for (int64_t c = 0; c < columns; c += panel) {
      OuterProduct product = {};
      product.a = v + i * Stride(count * in_c);
      product.a_offsets = call.tile_offsets;
      product.positions = count;
      product.b = d_m + i * Stride(columns * count) + c * count;
      product.m = in_c;
      product.c = d_u + i * in_c * d_u_stride + c;
      product.c_stride = d_u_stride;
      call.context.matrix().add_outer(product);
    }
  }
}

// d_v[i] [tiles, in_c] (+)= d_m[i] g(w)[i]^T, over `columns` channels of y from `channel` on.
void MultiplyGradient(const Call& call, const float* kernel, const float* d_m, int64_t count,
                      int64_t channel, int64_t columns, float* d_v) {
  const int64_t panel = call.layout.panel;
  const Window2d& window = call.layout.window;
  for (int64_t i = 0; i < kElements; ++i) {
    RowProduct product = {};
    product.a = d_m + i * Stride(columns * count);
    product.a_offsets = call.other_offsets;
    product.rows = count;
    product.runs = columns / panel;
    product.run_length = panel;
    product.run_stride = count * panel;
    product.b = kernel + i * call.layout.size + channel * panel;
    product.b_panel_stride = window.out_c * panel;
    product.n = window.in_c;
    product.c = d_v + i * Stride(count * window.in_c);
    product.c_offsets = call.tile_offsets;
    product.accumulate = channel > 0;
    call.context.matrix().multiply_rows(product);
  }
}

// Calls body(first, count) for groups of the tiles [begin, end).
template <typename Body>
void ForGroups(const Layout& layout, int64_t begin, int64_t end, const Body& body) {
  const int64_t step = layout.GroupOf(end - begin);
  for (int64_t first = begin; first < end; first += step) body(first, std::min(step, end - first));
}

}  // namespace

bool WinogradTakes(const CpuContext& context, const Window2d& window) {
  const int64_t panel = context.matrix().panel;
  const int64_t tiles = DivideUp(window.out_h, 2) * DivideUp(window.out_w, 2);
  return window.kernel_h == 3 && window.kernel_w == 3 && window.stride_h == 1 &&
         window.stride_w == 1 && window.in_c % panel == 0 && window.out_c % panel == 0 &&
         window.out_c % std::min(kColumns, window.out_c) == 0 &&
         // 16 products a tile against 9 a position, and the transforms.
         3 * tiles * 16 <= 2 * window.out_h * window.out_w * 9;
}

void WinogradForward(CpuContext& context, const Window2d& window, const float* x, const float* w,
                     const float* bias, bool relu, float* y) {
  const MatrixKernels& matrix = context.matrix();
  const Layout layout(window, matrix.panel);
  const float* const u = TransformKernel(context, layout, w);
  float* const packed = context.Shared(CpuContext::kPacked, kElements * layout.size);
  const int64_t groups = window.out_c / layout.columns;
  context.pool().ParallelFor(kElements * groups, [&](int64_t task) {
    const int64_t i = task / groups, channel = task % groups * layout.columns;
    matrix.pack(u + i * layout.size + channel, window.in_c, layout.columns, window.out_c, 1, 1.0f,
                packed + i * layout.size + channel * window.in_c);
  });
  const Call call = {context, layout,
                     Offsets(context, CpuContext::kOffsetsA, layout.group, window.in_c),
                     Offsets(context, CpuContext::kOffsetsC, layout.group, layout.columns)};

  const int64_t tiles = window.batch * layout.image_tiles;
  // A tile's bits do not depend on its group, so the number of groups may follow the threads.
  const int64_t group = layout.GroupOf(tiles, 2 * context.pool().num_threads());
  context.pool().ParallelForThread(DivideUp(tiles, group), [&](int64_t task, int thread) {
    const int64_t first = task * group;
    const int64_t count = std::min(group, tiles - first);
    float* const zeros = context.ForThread(thread, CpuContext::kThreadZeros, window.in_c);
    std::memset(zeros, 0, sizeof(float) * window.in_c);
    float* const v = context.ForThread(thread, CpuContext::kThreadTiles,
                                       kElements * Stride(layout.group * window.in_c));
    float* const m = context.ForThread(thread, CpuContext::kThreadProducts,
                                       kElements * Stride(layout.group * layout.columns));
    TransformTiles(call, x, zeros, first, count, v);
    for (int64_t channel = 0; channel < window.out_c; channel += layout.columns) {
      for (int64_t i = 0; i < kElements; ++i) {
        RowProduct product = {};
        product.a = v + i * Stride(count * window.in_c);
        product.a_offsets = call.tile_offsets;
        product.rows = count;
        product.runs = 1;
        product.run_length = window.in_c;
        product.b = packed + i * layout.size + channel * window.in_c;
        product.b_panel_stride = window.in_c * layout.panel;
        product.n = layout.columns;
        product.c = m + i * Stride(count * layout.columns);
        product.c_offsets = call.other_offsets;
        matrix.multiply_rows(product);
      }
      for (int64_t t = 0; t < count; ++t) {
        float* positions[4];
        layout.Positions<float>(first + t, channel, y, nullptr, positions);
        context.winograd().transform_output(
            m + t * layout.columns, Stride(count * layout.columns), layout.columns,
            bias != nullptr ? bias + channel : nullptr, relu, positions);
      }
    }
  });
}

void WinogradBackward(CpuContext& context, const Window2d& window, const float* x, const float* w,
                      const float* y, float* d_y, float* d_x, float* d_w, float* d_bias) {
  const MatrixKernels& matrix = context.matrix();
  const VectorKernels& vector = context.vector();
  const WinogradKernels& winograd = context.winograd();
  const Layout layout(window, matrix.panel);
  float* kernel = nullptr;  // [16][in_panels][out_c][panel]
  if (d_x != nullptr) {
    const float* const u = TransformKernel(context, layout, w);
    kernel = context.Shared(CpuContext::kPackedBackward, kElements * layout.size);
    context.pool().ParallelFor(kElements, [&](int64_t i) {
      matrix.pack(u + i * layout.size, window.out_c, window.in_c, 1, window.out_c, 1.0f,
                  kernel + i * layout.size);
    });
  }
  const Call call = {context, layout,
                     Offsets(context, CpuContext::kOffsetsA, layout.group, window.in_c),
                     Offsets(context, CpuContext::kOffsetsC, layout.group, layout.panel)};

  // The gradient of the transformed kernel, and below it that of the bias.
  const bool partials_fit = kElements * layout.size <= kMaxPartialSize;
  const int64_t d_u_size = partials_fit ? kElements * layout.size : 0;
  const int64_t partial_size = d_u_size + window.out_c;
  const int64_t images_per_group = std::clamp<int64_t>(layout.group / layout.image_tiles, 1,
                                                       DivideUp(window.batch, kLeastPartials));
  const int64_t images_per_block =
      DivideUp(DivideUp(window.batch, kMaxPartials), images_per_group) * images_per_group;
  const int64_t blocks = DivideUp(window.batch, images_per_block);
  float* const partials = context.Shared(CpuContext::kPartials, blocks * partial_size);
  const int64_t outside_size = std::max(window.in_c, window.out_c);

  context.pool().ParallelForThread(blocks, [&](int64_t block, int thread) {
    float* const d_u = partials + block * partial_size;
    float* const bias_sums = d_u + d_u_size;
    std::memset(d_u, 0, sizeof(float) * partial_size);
    // Zeros to read outside of the images, and memory for results there, which nobody reads.
    float* const zeros = context.ForThread(thread, CpuContext::kThreadZeros, 2 * outside_size);
    std::memset(zeros, 0, sizeof(float) * 2 * outside_size);
    float* const nowhere = zeros + outside_size;
    float* const sums = context.ForThread(thread, CpuContext::kThreadSums, window.out_c);
    const int64_t tile_floats = kElements * Stride(layout.group * window.in_c);
    float* const v = context.ForThread(thread, CpuContext::kThreadTiles, tile_floats);
    float* const d_v = context.ForThread(thread, CpuContext::kThreadGradient, tile_floats);
    float* const d_m = context.ForThread(thread, CpuContext::kThreadProducts,
                                         kElements * Stride(layout.group * layout.columns));
    const int64_t end = std::min(window.batch, (block + 1) * images_per_block);
    for (int64_t image = block * images_per_block; image < end; image += images_per_group) {
      const int64_t images = std::min(images_per_group, end - image);
      PrepareOutputGradient(vector, y != nullptr ? y + image * layout.out_size : nullptr,
                            images * window.out_h * window.out_w, window.out_c, d_bias != nullptr,
                            d_y + image * layout.out_size, sums, bias_sums);
      if (d_x != nullptr) {
        std::memset(d_x + image * layout.image_size, 0, sizeof(float) * images * layout.image_size);
      }
      if (d_x == nullptr && !partials_fit) continue;
      ForGroups(layout, image * layout.image_tiles, (image + images) * layout.image_tiles,
                [&](int64_t first, int64_t count) {
                  if (partials_fit) TransformTiles(call, x, zeros, first, count, v);
                  for (int64_t channel = 0; channel < window.out_c; channel += layout.columns) {
                    TransformGradient(call, d_y, zeros, first, count, channel, layout.columns, d_m);
                    if (partials_fit) {
                      AddKernelGradient(call, v, d_m, count, layout.columns, d_u + channel,
                                        window.out_c);
                    }
                    if (d_x != nullptr) {
                      MultiplyGradient(call, kernel, d_m, count, channel, layout.columns, d_v);
                    }
                  }
                  if (d_x != nullptr) AddInputGradient(call, d_v, nowhere, first, count, d_x);
                });
    }
  });

  if (d_bias != nullptr) {
    vector.sum_blocks(partials + d_u_size, blocks, partial_size, window.out_c, d_bias);
  }
  if (partials_fit) {
    context.ForChunks(layout.size, 1024, [&](int64_t first, int64_t count) {
      for (int64_t i = 0; i < kElements; ++i) {
        float* const total = partials + i * layout.size + first;
        vector.sum_blocks(total, blocks, partial_size, count, total);
      }
      winograd.transform_kernel_gradient(partials + first, layout.size, count, d_w + first,
                                         layout.size);
    });
    return;
  }
  // A large kernel: columns of its gradient in parallel, each over the whole batch.
  const int64_t columns = std::min<int64_t>(32, layout.columns);
  context.pool().ParallelForThread(window.out_c / columns, [&](int64_t task, int thread) {
    const int64_t channel = task * columns, d_u_columns = window.in_c * columns;
    float* const zeros = context.ForThread(thread, CpuContext::kThreadZeros, outside_size);
    std::memset(zeros, 0, sizeof(float) * outside_size);
    float* const v = context.ForThread(thread, CpuContext::kThreadTiles,
                                       kElements * Stride(layout.group * window.in_c));
    float* const d_m = context.ForThread(thread, CpuContext::kThreadProducts,
                                         kElements * Stride(layout.group * columns));
    float* const d_u =
        context.ForThread(thread, CpuContext::kThreadGradient, kElements * d_u_columns);
    std::memset(d_u, 0, sizeof(float) * kElements * d_u_columns);
    ForGroups(layout, 0, window.batch * layout.image_tiles, [&](int64_t first, int64_t count) {
      TransformTiles(call, x, zeros, first, count, v);
      TransformGradient(call, d_y, zeros, first, count, channel, columns, d_m);
      AddKernelGradient(call, v, d_m, count, columns, d_u, columns);
    });
    for (int64_t row = 0; row < window.in_c; ++row) {
      winograd.transform_kernel_gradient(d_u + row * columns, d_u_columns, columns,
                                         d_w + row * window.out_c + channel, layout.size);
    }
  });
}

}  // namespace protopage
