// Speed of the CPU backend: each operation of a seed_cnn training step in GFLOP/s next to the peak
// of the processor in the same run, and the whole step in images/s, next to PyTorch if a Python
// that has it is given. Our rounds and PyTorch's alternate; figures are medians.
//
//   ./bazelw run -c opt //model/benchmarks:backend_benchmark -- --threads=2 --python=/usr/bin/python3

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "protopage/base/benchmark_timing.h"
#include "protopage/base/check.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/benchmarks/seed_cnn_step.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/cpu/matrix_kernels.h"
#include "protopage/model/tensor.h"

ABSL_FLAG(int, threads, 2, "threads of ours and of PyTorch's");
ABSL_FLAG(int, rounds, 5, "rounds of each measurement; the median is printed");
ABSL_FLAG(double, seconds, 2, "length of a round of training steps");
ABSL_FLAG(std::string, isa, "auto", "instruction set: auto, avx2, avx512");
ABSL_FLAG(std::string, python, "", "a Python with PyTorch; empty: ours alone");
ABSL_FLAG(std::string, peer, "model/benchmarks/torch_peer.py", "the script that it runs");

extern char** environ;

namespace protopage {
namespace {

// FLOP/s of all threads at once on fused multiply-adds between registers.
double PeakFlops(ThreadPool& pool, bool avx512) {
  const MatrixKernels& kernels = avx512 ? avx512::GetMatrixKernels() : avx2::GetMatrixKernels();
  const int threads = pool.num_threads();
  std::vector<std::vector<float>> sinks(threads, std::vector<float>(64, 1e-9f));
  const int64_t iterations = 1 << 21;
  std::vector<int64_t> flops(threads);
  const double seconds = MedianSeconds(0.1, [&] {
    pool.ParallelFor(
        threads, [&](int64_t i) { flops[i] = kernels.peak_flops(iterations, sinks[i].data()); });
  });
  return static_cast<double>(flops[0]) * threads / seconds;
}

class Bench {
 public:
  Bench(ThreadPool* pool, Backend* backend) : pool_(*pool), backend_(*backend), random_(backend) {
    wide_ = backend->Description().find("avx512") != std::string::npos;
  }

  // `flops` is 0 for operations that move memory: then GB/s of `bytes` are printed.
  void Row(const std::string& name, double flops, double bytes,
           const std::function<absl::Status()>& body) {
    CheckOk(body());
    std::vector<double> times, peaks;
    for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
      times.push_back(MedianSeconds(0.05, [&] { CheckOk(body()); }));
      peaks.push_back(PeakFlops(pool_, wide_));
    }
    const double seconds = Median(times), peak = Median(peaks);
    if (flops > 0) {
      absl::PrintF("%-34s %8.3f ms %8.1f GFLOP/s  %5.1f %% of %.1f\n", name, 1e3 * seconds,
                   flops / seconds / 1e9, 100 * flops / seconds / peak, peak / 1e9);
    } else {
      absl::PrintF("%-34s %8.3f ms %8.1f GB/s\n", name, 1e3 * seconds, bytes / seconds / 1e9);
    }
    std::fflush(stdout);
  }

  void Convolution(const Convolution3x3& layer, int64_t batch) {
    const std::string name = layer.name;
    Convolution3x3Run run(&backend_, random_, layer, batch);
    Row(name + " forward", run.forward_flops(), 0, [&] { return run.Forward(); });
    Row(name + " backward", run.backward_flops(), 0, [&] { return run.Backward(); });
  }

  void Operations(int64_t batch) {
    // Winograd's convolutions compute 4 of 9 products, so they may exceed 100 %.
    absl::PrintF("\nOperations of seed_cnn, batch %d; FLOP of the plain sums\n", batch);
    for (const Convolution3x3& layer : kSeedCnnConvolutions) Convolution(layer, batch);

    const Shape shape = {batch * 32 * 32, 32}, columns = {32};
    const double bytes = 4.0 * static_cast<double>(shape.num_elements());
    const Tensor x = random_(shape), y = random_(shape), d_y = random_(shape), d_x = random_(shape);
    const Tensor gamma = random_(columns), beta = random_(columns), mean = random_(columns);
    const Tensor var = random_(columns), saved_mean = random_(columns), inv_std = random_(columns);
    Row("batch norm forward", 0, 3 * bytes, [&] {
      return backend_.BatchNormTrain(x, gamma, beta, 1e-3f, 0.99f, true, mean, var, saved_mean,
                                     inv_std, y);
    });
    Row("batch norm backward", 0, 7 * bytes, [&] {
      return backend_.BatchNormBackward(x, gamma, saved_mean, inv_std, y, true, d_y, d_x, mean,
                                        var);
    });

    Window2d pool;
    pool.batch = batch;
    pool.in_h = pool.in_w = 30;
    pool.in_c = pool.out_c = 32;
    pool.kernel_h = pool.kernel_w = pool.stride_h = pool.stride_w = 2;
    pool.out_h = pool.out_w = 15;
    const Tensor big = random_({batch, 30, 30, 32}), small = random_({batch, 15, 15, 32});
    const Tensor argmax = ValueOf(backend_.Allocate(DType::kInt32, small.shape()));
    const double pool_bytes = static_cast<double>(big.bytes()) + 2.0 * small.bytes();
    Row("max pool forward", 0, pool_bytes,
        [&] { return backend_.MaxPool2dForward(pool, big, small, argmax); });
    Row("max pool backward", 0, pool_bytes,
        [&] { return backend_.MaxPool2dBackward(pool, small, argmax, big); });
    Row("dropout", 0, 2.0 * small.bytes(), [&] {
      return backend_.Dropout(0.25f, DropoutKey{1, 2}, small, small);
    });

    const int64_t n = 512;
    const Tensor a = random_({n, n}), b = random_({n, n}), c = random_({n, n});
    Row("matrix product 512 x 512 x 512", 2.0 * n * n * n, 0,
        [&] { return backend_.MatMul(a, false, b, true, 1.0f, 0.0f, c); });

    constexpr int64_t kResNetBatch = 16;
    absl::PrintF("\nConvolutions of ResNet-18 on 112 x 112 images, batch %d\n", kResNetBatch);
    for (const Convolution3x3& layer : kResNetConvolutions) Convolution(layer, kResNetBatch);
  }

 private:
  ThreadPool& pool_;
  Backend& backend_;
  RandomTensors random_;
  bool wide_;
};

// model/benchmarks/torch_peer.py --serve, through two pipes.
class TorchPeer {
 public:
  TorchPeer(const std::string& python, const std::string& script, int threads) {
    signal(SIGPIPE, SIG_IGN);
    int to[2], from[2];
    PROTOPAGE_CHECK(pipe(to) == 0 && pipe(from) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    for (const int fd : {to[0], to[1], from[0], from[1]}) {
      posix_spawn_file_actions_addclose(&actions, fd);
    }
    std::string threads_flag = absl::StrCat("--threads=", threads);
    std::vector<std::string> words = {python, script, "--serve", threads_flag};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int error =
        posix_spawnp(&process_, python.c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    if (error != 0) Fail(absl::StrCat("cannot start ", python));
    in_ = fdopen(to[1], "w");
    out_ = fdopen(from[0], "r");
    version_ = Read()["torch"].get<std::string>();
  }
  ~TorchPeer() {
    std::fclose(in_);
    std::fclose(out_);
    int status;
    waitpid(process_, &status, 0);
  }

  const std::string& version() const { return version_; }

  double ImagesPerSecond(int64_t batch, const std::string& layout, double seconds) {
    const nlohmann::json request = {{"batch", batch}, {"layout", layout}, {"seconds", seconds}};
    std::fprintf(in_, "%s\n", request.dump().c_str());
    std::fflush(in_);
    return Read()["images_per_s"].get<double>();
  }

 private:
  [[noreturn]] static void Fail(const std::string& what) {
    std::fprintf(stderr, "backend_benchmark: %s (flag --python)\n", what.c_str());
    std::exit(1);
  }
  nlohmann::json Read() {
    char line[4096];
    if (std::fgets(line, sizeof(line), out_) == nullptr) {
      Fail("the PyTorch script ended without an answer");
    }
    const nlohmann::json answer = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!answer.is_object()) Fail(absl::StrCat("the PyTorch script said: ", line));
    return answer;
  }

  pid_t process_ = 0;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
  std::string version_;
};

void Steps(Backend* backend, TorchPeer* peer) {
  const double seconds = absl::GetFlag(FLAGS_seconds);
  absl::PrintF("\nseed_cnn training step (forward, AM-softmax, backward, Adam), images/s\n");
  for (const int64_t batch : {64, 256}) {
    SeedCnnStep step(backend, batch);
    std::vector<double> ours, nchw, channels_last, ratios;
    for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
      ours.push_back(step.ImagesPerSecond(seconds));
      if (peer == nullptr) continue;
      nchw.push_back(peer->ImagesPerSecond(batch, "nchw", seconds));
      channels_last.push_back(peer->ImagesPerSecond(batch, "channels_last", seconds));
      ratios.push_back(ours.back() / std::max(nchw.back(), channels_last.back()));
    }
    absl::PrintF("batch %3d: ours %.1f", batch, Median(ours));
    if (peer != nullptr) {
      absl::PrintF(", PyTorch %s nchw %.1f, channels_last %.1f; ours / the faster %.2f",
                   peer->version(), Median(nchw), Median(channels_last), Median(ratios));
    }
    absl::PrintF("\n");
    std::fflush(stdout);
  }
}

int Main() {
  ThreadPool pool(absl::GetFlag(FLAGS_threads));
  CpuBackendOptions options;
  options.isa = absl::GetFlag(FLAGS_isa);
  const std::unique_ptr<Backend> backend = ValueOf(NewCpuBackend(&pool, options));
  absl::PrintF("%s; %d rounds, medians\n", backend->Description(), absl::GetFlag(FLAGS_rounds));
  std::unique_ptr<TorchPeer> peer;
  if (!absl::GetFlag(FLAGS_python).empty()) {
    peer = std::make_unique<TorchPeer>(absl::GetFlag(FLAGS_python), absl::GetFlag(FLAGS_peer),
                                       pool.num_threads());
  }
  Steps(backend.get(), peer.get());
  Bench bench(&pool, backend.get());
  bench.Operations(64);
  return 0;
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Speed of the CPU backend on seed_cnn, next to the processor's peak and PyTorch.");
  absl::ParseCommandLine(argc, argv);
  return protopage::Main();
}
