#include "protopage/model/cuda/window_kernels.h"

#include <algorithm>

#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/window_geometry.h"

namespace protopage {
namespace {

constexpr int64_t kMaxIndex = (int64_t{1} << 31) - 1;

// Calls launch(first_image, count) for ranges of images with `packs` items each, such that the
// items of a range can be counted in 31 bits.
template <typename Body>
cudaError_t ForImages(int64_t images, int64_t packs, const Body& body) {
  const int64_t step = std::max<int64_t>(1, kMaxIndex / std::max<int64_t>(1, packs));
  for (int64_t first = 0; first < images; first += step) {
    const cudaError_t error = body(first, std::min(step, images - first));
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <typename Stored, int V>
__global__ void Im2ColKernel(WindowGeometry<V> g, const Stored* x, uint32_t first, uint32_t n,
                             Stored* columns) {
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack, tap, kw, ow, oh;
    const uint32_t row = g.by_taps.Split(g.by_packs.Split(i, &pack), &tap);
    const uint32_t kh = g.by_kernel_w.Split(tap, &kw);
    const int64_t image = g.by_out_h.Split(g.by_out_w.Split(first + row, &ow), &oh);
    const int ih = static_cast<int>(oh * g.stride_h + kh) - g.pad_top;
    const int iw = static_cast<int>(ow * g.stride_w + kw) - g.pad_left;
    Pack<Stored, V> in = {};
    if (ih >= 0 && ih < g.in_h && iw >= 0 && iw < g.in_w) {
      in = LoadPack<V>(x + ((image * g.in_h + ih) * g.in_w + iw) * g.c + pack * V);
    }
    StorePack(columns + static_cast<int64_t>(i) * V, in);
  }
}

// d_x points to the first image to write.
template <typename Format, int V>
__global__ void Col2ImKernel(WindowGeometry<V> g, const float* d_columns, int64_t first_image,
                             int64_t first, int64_t rows, bool accumulate, uint32_t n,
                             typename Format::Stored* d_x) {
  const int64_t depth = g.kernel_h * g.kernel_w * g.c;
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack, iw, ih;
    const int64_t image =
        first_image + g.by_in_h.Split(g.by_in_w.Split(g.by_packs.Split(i, &pack), &iw), &ih);
    Pack<float, V> sum = {};
    if (accumulate) sum = LoadFloats<Format, V>(d_x + static_cast<int64_t>(i) * V);
    for (int kh = 0; kh < g.kernel_h; ++kh) {
      const int top = static_cast<int>(ih) + g.pad_top - kh;
      if (top < 0) break;
      uint32_t rest;
      const int64_t oh = g.by_stride_h.Split(static_cast<uint32_t>(top), &rest);
      if (rest != 0 || oh >= g.out_h) continue;
      for (int kw = 0; kw < g.kernel_w; ++kw) {
        const int left = static_cast<int>(iw) + g.pad_left - kw;
        if (left < 0) break;
        const int64_t ow = g.by_stride_w.Split(static_cast<uint32_t>(left), &rest);
        if (rest != 0 || ow >= g.out_w) continue;
        const int64_t row = (image * g.out_h + oh) * g.out_w + ow - first;
        if (row < 0 || row >= rows) continue;
        const Pack<float, V> part =
            LoadPack<V>(d_columns + row * depth + (kh * g.kernel_w + kw) * g.c +
                        static_cast<int64_t>(pack) * V);
        for (int l = 0; l < V; ++l) sum.v[l] += part.v[l];
      }
    }
    StoreFloats<Format>(d_x + static_cast<int64_t>(i) * V, sum);
  }
}

template <typename Format, int V>
__global__ void MaxPoolForwardKernel(WindowGeometry<V> g, const typename Format::Stored* x,
                                     uint32_t n, typename Format::Stored* y, int32_t* argmax) {
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack, ow, oh;
    const int64_t image = g.by_out_h.Split(g.by_out_w.Split(g.by_packs.Split(i, &pack), &ow), &oh);
    Pack<float, V> best = {};
    Pack<int32_t, V> best_at = {};
    bool seen = false;
    for (int kh = 0; kh < g.kernel_h; ++kh) {
      const int ih = static_cast<int>(oh) * g.stride_h - g.pad_top + kh;
      if (ih < 0 || ih >= g.in_h) continue;
      for (int kw = 0; kw < g.kernel_w; ++kw) {
        const int iw = static_cast<int>(ow) * g.stride_w - g.pad_left + kw;
        if (iw < 0 || iw >= g.in_w) continue;
        const Pack<float, V> in =
            LoadFloats<Format, V>(x + ((image * g.in_h + ih) * g.in_w + iw) * g.c + pack * V);
        for (int l = 0; l < V; ++l) {
          // NaN counts as larger than any number.
          if (seen && !(in.v[l] > best.v[l]) && in.v[l] == in.v[l]) continue;
          best.v[l] = in.v[l];
          best_at.v[l] = kh * g.kernel_w + kw;
        }
        seen = true;
      }
    }
    StoreFloats<Format>(y + static_cast<int64_t>(i) * V, best);
    StorePack(argmax + static_cast<int64_t>(i) * V, best_at);
  }
}

// Each pixel reads the windows that contain it, in their order.
template <typename Format, int V>
__global__ void MaxPoolBackwardKernel(WindowGeometry<V> g, const typename Format::Stored* d_y,
                                      const int32_t* argmax, uint32_t n,
                                      typename Format::Stored* d_x) {
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack, iw, ih;
    const int64_t image = g.by_in_h.Split(g.by_in_w.Split(g.by_packs.Split(i, &pack), &iw), &ih);
    Pack<float, V> sum = {};
    // The windows are in their order if the position in them goes backwards.
    for (int kh = g.kernel_h - 1; kh >= 0; --kh) {
      const int top = static_cast<int>(ih) + g.pad_top - kh;
      if (top < 0) continue;
      uint32_t rest;
      const int64_t oh = g.by_stride_h.Split(static_cast<uint32_t>(top), &rest);
      if (rest != 0 || oh >= g.out_h) continue;
      for (int kw = g.kernel_w - 1; kw >= 0; --kw) {
        const int left = static_cast<int>(iw) + g.pad_left - kw;
        if (left < 0) continue;
        const int64_t ow = g.by_stride_w.Split(static_cast<uint32_t>(left), &rest);
        if (rest != 0 || ow >= g.out_w) continue;
        const int64_t at = ((image * g.out_h + oh) * g.out_w + ow) * g.c + pack * V;
        const Pack<float, V> gradient = LoadFloats<Format, V>(d_y + at);
        const Pack<int32_t, V> from = LoadPack<V>(argmax + at);
        for (int l = 0; l < V; ++l) {
          if (from.v[l] == kh * g.kernel_w + kw) sum.v[l] += gradient.v[l];
        }
      }
    }
    StoreFloats<Format>(d_x + static_cast<int64_t>(i) * V, sum);
  }
}

// For windows that tile the image from its first pixel on. A thread has a cell of pixels: a window
// or, past the last one, pixels of no window.
template <typename Format, int V>
__global__ void MaxPoolCellsBackwardKernel(WindowGeometry<V> cells, int out_h, int out_w,
                                           const typename Format::Stored* d_y,
                                           const int32_t* argmax, uint32_t n,
                                           typename Format::Stored* d_x) {
  using Stored = typename Format::Stored;
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack, w, h;
    const int64_t image =
        cells.by_out_h.Split(cells.by_out_w.Split(cells.by_packs.Split(i, &pack), &w), &h);
    const int row = static_cast<int>(h), column = static_cast<int>(w);
    Pack<Stored, V> gradient = {};
    Pack<int32_t, V> from = {};
    if (row < out_h && column < out_w) {
      const int64_t at = ((image * out_h + row) * out_w + column) * cells.c + pack * V;
      gradient = LoadPack<V>(d_y + at);
      from = LoadPack<V>(argmax + at);
    }
    for (int kh = 0; kh < cells.kernel_h; ++kh) {
      const int ih = row * cells.kernel_h + kh;
      if (ih >= cells.in_h) break;
      for (int kw = 0; kw < cells.kernel_w; ++kw) {
        const int iw = column * cells.kernel_w + kw;
        if (iw >= cells.in_w) break;
        Pack<Stored, V> out;
        for (int l = 0; l < V; ++l) {
          const bool largest = from.v[l] == kh * cells.kernel_w + kw;
          out.v[l] = largest ? gradient.v[l] : Stored{0};
        }
        StorePack(d_x + ((image * cells.in_h + ih) * cells.in_w + iw) * cells.c + pack * V, out);
      }
    }
  }
}

template <typename Format, int V>
__global__ void AveragePoolForwardKernel(const typename Format::Stored* x, int64_t pixels,
                                         int64_t c, FastDivide by_packs, uint32_t n, float* y) {
  const float scale = 1.0f / static_cast<float>(pixels);
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack;
    const int64_t image = by_packs.Split(i, &pack);
    const typename Format::Stored* in = x + image * pixels * c + pack * V;
    Pack<float, V> sum = {};
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      const Pack<float, V> part = LoadFloats<Format, V>(in + pixel * c);
      for (int l = 0; l < V; ++l) sum.v[l] += part.v[l];
    }
    for (int l = 0; l < V; ++l) sum.v[l] *= scale;
    StorePack(y + static_cast<int64_t>(i) * V, sum);
  }
}

template <typename Format, int V>
__global__ void AveragePoolBackwardKernel(const float* d_y, int64_t pixels, int64_t c,
                                          FastDivide by_packs, FastDivide by_pixels, uint32_t n,
                                          typename Format::Stored* d_x) {
  const float scale = 1.0f / static_cast<float>(pixels);
  for (uint32_t i = FirstIndex(); i < n; i += IndexStride()) {
    uint32_t pack;
    const int64_t image = by_pixels.Quotient(by_packs.Split(i, &pack));
    Pack<float, V> gradient = LoadPack<V>(d_y + image * c + pack * V);
    for (int l = 0; l < V; ++l) gradient.v[l] *= scale;
    StoreFloats<Format>(d_x + static_cast<int64_t>(i) * V, gradient);
  }
}

}  // namespace

cudaError_t LaunchIm2Col(cudaStream_t stream, const Window2d& window, NumberFormat format,
                         const void* x, int64_t first, int64_t rows, void* columns) {
  if (rows == 0) return cudaSuccess;
  return WithFormatAndWidth(
      format, InPacks(window.in_c, {}, format, {x, columns}), [&](auto stored, auto width) {
        using Format = decltype(stored);
        constexpr int kWidth = decltype(width)::value;
        const int64_t n = rows * window.kernel_h * window.kernel_w * window.in_c / kWidth;
        return Launch(stream, GridFor(n), kBlockThreads, 0,
                      Im2ColKernel<typename Format::Stored, kWidth>, WindowGeometry<kWidth>(window),
                      StoredAs<Format>(x), static_cast<uint32_t>(first), static_cast<uint32_t>(n),
                      StoredAs<Format>(columns));
      });
}

cudaError_t LaunchCol2Im(cudaStream_t stream, const Window2d& window, const float* d_columns,
                         int64_t first, int64_t rows, bool accumulate, NumberFormat format,
                         void* d_x) {
  if (rows == 0) return cudaSuccess;
  const int64_t positions = window.out_h * window.out_w;
  const int64_t first_image = first / positions;
  const int64_t images = (first + rows - 1) / positions - first_image + 1;
  const int64_t size = window.in_h * window.in_w * window.in_c;
  const bool wide = InPacks(window.in_c, {d_columns}, format, {d_x});
  return WithFormatAndWidth(format, wide, [&](auto stored, auto width) {
    using Format = decltype(stored);
    constexpr int kWidth = decltype(width)::value;
    const int64_t packs = size / kWidth;
    return ForImages(images, packs, [&](int64_t begin, int64_t count) {
      return Launch(stream, GridFor(count * packs), kBlockThreads, 0, Col2ImKernel<Format, kWidth>,
                    WindowGeometry<kWidth>(window), d_columns, first_image + begin, first, rows,
                    accumulate, static_cast<uint32_t>(count * packs),
                    StoredAs<Format>(d_x) + (first_image + begin) * size);
    });
  });
}

cudaError_t LaunchMaxPoolForward(cudaStream_t stream, const Window2d& window, NumberFormat format,
                                 const void* x, void* y, int32_t* argmax) {
  const int64_t in = window.in_h * window.in_w * window.in_c;
  const int64_t out = window.out_h * window.out_w * window.in_c;
  const bool wide = InPacks(window.in_c, {argmax}, format, {x, y});
  return WithFormatAndWidth(format, wide, [&](auto stored, auto width) {
    using Format = decltype(stored);
    constexpr int kWidth = decltype(width)::value;
    const int64_t packs = out / kWidth;
    return ForImages(window.batch, packs, [&](int64_t begin, int64_t count) {
      return Launch(stream, GridFor(count * packs), kBlockThreads, 0,
                    MaxPoolForwardKernel<Format, kWidth>, WindowGeometry<kWidth>(window),
                    StoredAs<Format>(x) + begin * in, static_cast<uint32_t>(count * packs),
                    StoredAs<Format>(y) + begin * out, argmax + begin * out);
    });
  });
}

cudaError_t LaunchMaxPoolBackward(cudaStream_t stream, const Window2d& window, NumberFormat format,
                                  const void* d_y, const int32_t* argmax, void* d_x) {
  const int64_t in = window.in_h * window.in_w * window.in_c;
  const int64_t out = window.out_h * window.out_w * window.in_c;
  const bool in_cells = window.stride_h == window.kernel_h && window.stride_w == window.kernel_w &&
                        window.pad_top == 0 && window.pad_left == 0;
  Window2d cells = window;
  cells.out_h = DivideUp(window.in_h, window.kernel_h);
  cells.out_w = DivideUp(window.in_w, window.kernel_w);
  const bool wide = InPacks(window.in_c, {argmax}, format, {d_y, d_x});
  return WithFormatAndWidth(format, wide, [&](auto stored, auto width) {
    using Format = decltype(stored);
    constexpr int kWidth = decltype(width)::value;
    const int64_t pixels = in_cells ? cells.out_h * cells.out_w : window.in_h * window.in_w;
    const int64_t packs = pixels * window.in_c / kWidth;
    return ForImages(window.batch, packs, [&](int64_t begin, int64_t count) {
      const auto launch = [&](auto kernel, auto... geometry) {
        return Launch(stream, GridFor(count * packs), kBlockThreads, 0, kernel, geometry...,
                      StoredAs<Format>(d_y) + begin * out, argmax + begin * out,
                      static_cast<uint32_t>(count * packs), StoredAs<Format>(d_x) + begin * in);
      };
      if (in_cells) {
        return launch(MaxPoolCellsBackwardKernel<Format, kWidth>, WindowGeometry<kWidth>(cells),
                      window.out_h, window.out_w);
      }
      return launch(MaxPoolBackwardKernel<Format, kWidth>, WindowGeometry<kWidth>(window));
    });
  });
}

cudaError_t LaunchAveragePoolForward(cudaStream_t stream, NumberFormat format, const void* x,
                                     int64_t batch, int64_t pixels, int64_t c, float* y) {
  return WithFormatAndWidth(format, InPacks(c, {y}, format, {x}), [&](auto stored, auto width) {
    using Format = decltype(stored);
    constexpr int kWidth = decltype(width)::value;
    const int64_t packs = c / kWidth;
    return ForImages(batch, packs, [&](int64_t begin, int64_t count) {
      return Launch(stream, GridFor(count * packs), kBlockThreads, 0,
                    AveragePoolForwardKernel<Format, kWidth>,
                    StoredAs<Format>(x) + begin * pixels * c, pixels, c, FastDivide(packs),
                    static_cast<uint32_t>(count * packs), y + begin * c);
    });
  });
}

cudaError_t LaunchAveragePoolBackward(cudaStream_t stream, const float* d_y, int64_t batch,
                                      int64_t pixels, int64_t c, NumberFormat format, void* d_x) {
  return WithFormatAndWidth(format, InPacks(c, {d_y}, format, {d_x}), [&](auto stored, auto width) {
    using Format = decltype(stored);
    constexpr int kWidth = decltype(width)::value;
    const int64_t packs = c / kWidth;
    return ForImages(batch, pixels * packs, [&](int64_t begin, int64_t count) {
      return Launch(stream, GridFor(count * pixels * packs), kBlockThreads, 0,
                    AveragePoolBackwardKernel<Format, kWidth>, d_y + begin * c, pixels, c,
                    FastDivide(packs), FastDivide(pixels),
                    static_cast<uint32_t>(count * pixels * packs),
                    StoredAs<Format>(d_x) + begin * pixels * c);
    });
  });
}

}  // namespace protopage
