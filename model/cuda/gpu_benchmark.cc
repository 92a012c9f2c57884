// The speed of the CUDA backend, compared to the ceilings of the same GPU in the same run. The
// ceiling of products is the largest product of cuBLAS, that of memory a large copy. The ceiling of
// a convolution is the lower of the two, if all its arrays are read and written once (those of
// seed_cnn, and of a ResNet with a quarter of the batch). Also measures a whole training step of
// seed_cnn in images/s. Prints one line per figure, with fields separated by tabs: name, value,
// unit, and the share of its ceiling in percent or "-". Figures are medians over graphs of several
// calls.
//
//   ./bazelw run --config=cuda //model/cuda:gpu_benchmark -- --precision=tf32
//
// With --serve it measures the training step only, once for each line of its input, and answers
// with the images/s: tools/gpu_check_turns.py runs it in turns with model/benchmarks/torch_peer.py
// --device=cuda.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/benchmarks/seed_cnn_step.h"
#include "protopage/model/device.h"
#include "protopage/model/tensor.h"

ABSL_FLAG(std::string, device, "cuda", "cuda, or cpu to try the program without a GPU");
ABSL_FLAG(std::string, precision, "float32", "float32, tf32, bf16 or fp16");
ABSL_FLAG(int, batch, 256, "images a step");
ABSL_FLAG(int64_t, size, 8192, "rows and columns of the product that is the ceiling");
ABSL_FLAG(int64_t, copy_mib, 1024, "size of the copy that is the ceiling of memory");
ABSL_FLAG(double, seconds, 2, "length of each measurement");
ABSL_FLAG(bool, describe, false, "only print the description of the device");
ABSL_FLAG(int, steps, 20, "training steps between waits for the device");
ABSL_FLAG(bool, serve, false, "measure the training step for each line read");
ABSL_FLAG(std::string, convolutions, "fastest",
          "columns, implicit (without columns where possible) or fastest");
ABSL_FLAG(int64_t, workspace_mib, 0, "size of a tile of columns; 0 for the default");

namespace protopage {
namespace {

std::string Convolutions() { return absl::GetFlag(FLAGS_convolutions); }

ConvolutionMethod ParseMethod(const std::string& name) {
  if (name == "columns") return ConvolutionMethod::kColumns;
  if (name == "implicit") return ConvolutionMethod::kImplicit;
  if (name != "fastest") {
    CheckOk(absl::InvalidArgumentError(
        absl::StrCat("--convolutions=", name, "; columns, implicit and fastest are known")));
  }
  return ConvolutionMethod::kFastest;
}

class GpuBenchmark {
 public:
  explicit GpuBenchmark(Backend* backend)
      : backend_(*backend), random_(backend), how_(PrecisionName(backend->precision())) {
    if (Convolutions() != "fastest") absl::StrAppend(&how_, ", ", Convolutions());
    const int64_t mib = absl::GetFlag(FLAGS_workspace_mib);
    if (mib > 0) absl::StrAppend(&how_, ", tiles of ", mib, " MiB");
  }

  void Run() {
    const double peak_bytes = MemoryCeiling();
    const double peak_flops = ProductCeiling();
    const int64_t batch = absl::GetFlag(FLAGS_batch);
    for (const Convolution3x3& layer : kSeedCnnConvolutions) {
      Convolution(layer, batch, peak_flops, peak_bytes);
    }
    for (const Convolution3x3& layer : kResNetConvolutions) {
      Convolution(layer, std::max<int64_t>(1, batch / 4), peak_flops, peak_bytes);
    }
    BatchNorm(batch, peak_bytes);
    SeedCnnStep step(&backend_, batch);
    WarnIfNotRecorded(step);
    Print(absl::StrCat("seed_cnn step, batch ", batch, step.refusal().ok() ? "" : ", no graph"),
          step.ImagesPerSecond(absl::GetFlag(FLAGS_seconds), absl::GetFlag(FLAGS_steps)),
          "images/s", 0);
  }

  void Serve() {
    SeedCnnStep step(&backend_, absl::GetFlag(FLAGS_batch));
    WarnIfNotRecorded(step);
    for (std::string line; std::getline(std::cin, line);) {
      absl::PrintF("%.6g\n",
                   step.ImagesPerSecond(absl::GetFlag(FLAGS_seconds), absl::GetFlag(FLAGS_steps)));
      std::fflush(stdout);
    }
  }

 private:
  static void WarnIfNotRecorded(const SeedCnnStep& step) {
    if (step.refusal().ok()) return;
    absl::FPrintF(stderr, "the step is not a CUDA graph: %s\n", step.refusal().ToString());
  }

  // `ceiling` is in the same unit; 0 if there is none.
  void Print(const std::string& name, double value, const char* unit, double ceiling) {
    absl::PrintF("%s, %s\t%.4g\t%s\t%s\n", name, how_, value, unit,
                 ceiling > 0 ? absl::StrFormat("%.1f", 100 * value / ceiling) : "-");
    std::fflush(stdout);
  }

  // Seconds per call. The calls are in graphs, like those of a training step, and there are enough
  // graphs to take long compared to the wait for the device.
  double Seconds(const std::function<absl::Status()>& body) {
    constexpr int kCallsOfGraph = 8;
    const std::unique_ptr<Recording> recording = backend_.NewRecording();
    const auto time = [&](int graphs) {
      const double start = Now();
      for (int i = 0; i < graphs; ++i) {
        CheckOk(backend_.Run(recording.get(), /*step=*/0, [&]() -> absl::Status {
          for (int call = 0; call < kCallsOfGraph; ++call) PROTOPAGE_RETURN_IF_ERROR(body());
          return absl::OkStatus();
        }));
      }
      CheckOk(backend_.Synchronize());
      return Now() - start;
    };
    for (int i = 0; i < 3; ++i) time(1);  // The calls allocate, are recorded, run as a graph.
    const int graphs = std::clamp(static_cast<int>(0.02 / std::max(time(1), 1e-6)), 1, 200);
    std::vector<double> times;
    const double end = Now() + absl::GetFlag(FLAGS_seconds) / 4;
    while (Now() < end || times.size() < 3) times.push_back(time(graphs) / graphs);
    return Median(times) / kCallsOfGraph;
  }

  // GB/s read and written by a copy on the device.
  double MemoryCeiling() {
    const Shape shape = {absl::GetFlag(FLAGS_copy_mib) << 18};
    const Tensor x = ValueOf(backend_.Allocate(DType::kFloat32, shape));
    const Tensor y = ValueOf(backend_.Allocate(DType::kFloat32, shape));
    const double rate =
        2e-9 * static_cast<double>(x.bytes()) / Seconds([&] { return backend_.Copy(x, y); });
    Print("copy on the device (ceiling)", rate, "GB/s", 0);
    return rate;
  }

  double ProductCeiling() {
    const int64_t largest = absl::GetFlag(FLAGS_size);
    double peak = 0;
    for (int64_t n = largest; n >= 256; n /= 4) {
      const Tensor a = random_({n, n}), b = random_({n, n});
      const Tensor c = ValueOf(backend_.Allocate(DType::kFloat32, {n, n}));
      const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
      double seconds = Seconds([&] { return backend_.MatMul(a, false, b, true, 1.0f, 0.0f, c); });
      if (backend_.activation_dtype() != DType::kFloat32) {
        // Without the rounding of the inputs, which is not part of the product.
        const Tensor rounded = ValueOf(backend_.Allocate(backend_.activation_dtype(), {n, n}));
        seconds -= 2 * Seconds([&] { return backend_.Copy(a, rounded); });
      }
      const double rate = 2e-12 * cube / seconds;
      if (n == largest) peak = rate;
      Print(absl::StrCat("product ", n, (n == largest ? " (ceiling)" : "")), rate, "TFLOP/s",
            n == largest ? 0 : peak);
    }
    return peak;
  }

  void Convolution(const Convolution3x3& layer, int64_t batch, double peak_flops,
                   double peak_bytes) {
    Convolution3x3Run run(&backend_, random_, layer, batch);
    const auto print = [&](const char* pass, double flops, double bytes, double seconds) {
      // The GFLOP/s of a convolution that is limited by memory only.
      const double of_memory = peak_bytes * flops / bytes;
      Print(absl::StrCat(layer.name, " ", pass), 1e-12 * flops / seconds, "TFLOP/s",
            std::min(peak_flops, 1e-3 * of_memory));
    };
    print("forward", run.forward_flops(), run.forward_bytes(),
          Seconds([&] { return run.Forward(); }));
    print("backward", run.backward_flops(), run.backward_bytes(),
          Seconds([&] { return run.Backward(); }));
  }

  void BatchNorm(int64_t batch, double peak) {
    const Shape shape = {batch * 32 * 32, 32}, columns = {32};
    // Alternates between several arrays, because one would stay in the cache of a large GPU.
    std::vector<Tensor> x, y;
    for (int i = 0; i < 4; ++i) {
      x.push_back(random_.Map(shape));
      y.push_back(random_.Map(shape));
    }
    size_t turn = 0;
    const Tensor gamma = random_(columns), beta = random_(columns), mean = random_(columns);
    const Tensor var = random_(columns), saved_mean = random_(columns), inv_std = random_(columns);
    const double seconds = Seconds([&] {
      turn = (turn + 1) % x.size();
      return backend_.BatchNormTrain(x[turn], gamma, beta, 1e-3f, 0.99f, true, mean, var,
                                     saved_mean, inv_std, y[turn]);
    });
    // As if x were read only once, although the moments read it as well.
    Print("batch norm 32x32x32 forward", 2e-9 * static_cast<double>(x[0].bytes()) / seconds, "GB/s",
          peak);
  }

  Backend& backend_;
  RandomTensors random_;
  std::string how_;
};

int Main() {
  ThreadPool pool(0);
  DeviceOptions options;
  options.precision = ValueOf(ParsePrecision(absl::GetFlag(FLAGS_precision)));
  options.cuda.convolutions = ParseMethod(Convolutions());
  const int64_t workspace_mib = absl::GetFlag(FLAGS_workspace_mib);
  if (workspace_mib > 0) options.cuda.workspace_bytes = workspace_mib << 20;
  const std::unique_ptr<Backend> backend =
      ValueOf(NewBackend(absl::GetFlag(FLAGS_device), options, &pool));
  if (absl::GetFlag(FLAGS_describe)) {
    absl::PrintF("%s\n", backend->Description());
    return 0;
  }
  GpuBenchmark benchmark(backend.get());
  if (absl::GetFlag(FLAGS_serve)) {
    benchmark.Serve();
  } else {
    benchmark.Run();
  }
  return 0;
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "The speed of the CUDA backend, compared to the ceilings of the GPU.");
  absl::ParseCommandLine(argc, argv);
  return protopage::Main();
}
