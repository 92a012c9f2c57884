// Tests of the CUDA backend that only the emulation allows: orders of execution, counts of
// allocations and waits, and devices that fail.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/cuda/emulation/runtime.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/backend_conformance.h"

namespace protopage {

// cuda_backend_test.cc instantiates it; only RunEveryOperation is used here.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendConformanceTest);

namespace {

TEST(CudaBackendEmulationTest, BitsDoNotDependOnTheOrderOfBlocksAndThreads) {
  std::vector<OperationOutput> forward;
  for (const std::string order : {"forward", "reverse", "shuffled"}) {
    ASSERT_EQ(setenv("PROTOPAGE_CUDA_EMULATION_ORDER", order.c_str(), /*overwrite=*/1), 0);
    for (const Precision precision : {Precision::kFloat32, Precision::kBf16}) {
      CudaBackendOptions options;
      options.precision = precision;
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend,
                                     NewCudaBackend(options));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::vector<OperationOutput> outputs,
                                     RunEveryOperation(*backend));
      if (order == "forward") {
        std::move(outputs.begin(), outputs.end(), std::back_inserter(forward));
        continue;
      }
      ASSERT_EQ(2 * outputs.size(), forward.size());
      const size_t first = precision == Precision::kFloat32 ? 0 : outputs.size();
      for (size_t i = 0; i < outputs.size(); ++i) {
        EXPECT_EQ(outputs[i].bytes, forward[first + i].bytes) << outputs[i].name << ", " << order;
      }
    }
  }
  ASSERT_EQ(unsetenv("PROTOPAGE_CUDA_EMULATION_ORDER"), 0);
}

// The operations of a small training step: a convolution, batch norm, a search for non-finite
// numbers and an update.
class SmallStep {
 public:
  static absl::StatusOr<std::unique_ptr<SmallStep>> Create(Backend* backend) {
    auto step = std::make_unique<SmallStep>();
    step->backend_ = backend;
    Window2d& w = step->window_;
    w.batch = 4, w.in_h = w.in_w = 8, w.in_c = 3;
    w.out_h = w.out_w = 6, w.out_c = 8, w.kernel_h = w.kernel_w = 3;
    const Shape out = {w.batch, w.out_h, w.out_w, w.out_c};
    for (Tensor* const map : {&step->y_, &step->z_, &step->d_y_}) {
      PROTOPAGE_ASSIGN_OR_RETURN(*map, backend->Allocate(backend->activation_dtype(), out));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(step->x_,
                               backend->Allocate(backend->activation_dtype(), {4, 8, 8, 3}));
    PROTOPAGE_ASSIGN_OR_RETURN(step->images_, backend->Allocate(DType::kUint8, {4, 8, 8, 3}));
    const std::pair<Tensor*, Shape> tensors[] = {{&step->kernel_, {3, 3, 3, 8}},
                                                 {&step->d_kernel_, {3, 3, 3, 8}},
                                                 {&step->m_, {3, 3, 3, 8}},
                                                 {&step->v_, {3, 3, 3, 8}},
                                                 {&step->gamma_, {8}},
                                                 {&step->mean_, {8}},
                                                 {&step->var_, {8}},
                                                 {&step->saved_mean_, {8}},
                                                 {&step->saved_, {8}},
                                                 {&step->d_gamma_, {8}},
                                                 {&step->d_beta_, {8}},
                                                 {&step->uploaded_, {4, 3}}};
    PROTOPAGE_ASSIGN_OR_RETURN(step->found_, backend->Allocate(DType::kInt32, {1}));
    for (const auto& [tensor, shape] : tensors) {
      PROTOPAGE_ASSIGN_OR_RETURN(*tensor, backend->Allocate(DType::kFloat32, shape));
      PROTOPAGE_RETURN_IF_ERROR(backend->Fill(*tensor, 0.5f));
    }
    PROTOPAGE_ASSIGN_OR_RETURN(step->host_, backend->AllocateHost(step->uploaded_.bytes()));
    return step;
  }

  absl::Status Run() {
    PROTOPAGE_RETURN_IF_ERROR(backend_->Upload(host_->data(), uploaded_));
    const std::vector<uint8_t> images(images_.num_elements(), 64);
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToDevice(images.data(), images_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->ImagesToFloat(images_, 1.0f / 255, 0.0f, x_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Conv2dForward(window_, x_, kernel_, Tensor(), false, y_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->BatchNormTrain(y_, gamma_, gamma_, 1e-3f, 0.9f, true, mean_,
                                                       var_, saved_mean_, saved_, z_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Dropout(0.25f, {1, 2}, z_, d_y_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->BatchNormBackward(y_, gamma_, saved_mean_, saved_, z_, true,
                                                          d_y_, d_y_, d_gamma_, d_beta_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Conv2dBackward(window_, x_, kernel_, y_, false, d_y_,
                                                       Tensor(), d_kernel_, Tensor()));
    PROTOPAGE_RETURN_IF_ERROR(backend_->FinishUploads());
    PROTOPAGE_RETURN_IF_ERROR(backend_->Scale(0.5f, uploaded_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->FindNonFinite({d_kernel_, d_gamma_}, found_));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Download(found_, host_->data()));
    PROTOPAGE_RETURN_IF_ERROR(backend_->FinishDownloads());
    AdamParams params;
    // Changes every step, like the learning rate.
    params.step_size = 1e-3f / static_cast<float>(++t_);
    return backend_->AdamUpdate(params, {{{kernel_, d_kernel_, m_, v_, true}}});
  }

 private:
  Backend* backend_ = nullptr;
  Window2d window_;
  Tensor images_, x_, kernel_, d_kernel_, m_, v_, y_, z_, d_y_, gamma_, mean_, var_, saved_mean_,
      saved_;
  Tensor d_gamma_, d_beta_, uploaded_, found_;
  std::shared_ptr<Buffer> host_;
  int64_t t_ = 0;
};

TEST(CudaBackendEmulationTest, ASteadyStepAllocatesNothingAndWaitsForItsResultsOnly) {
  for (const Precision precision : {Precision::kFloat32, Precision::kFp16}) {
    CudaBackendOptions options;
    options.precision = precision;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend(options));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<SmallStep> step,
                                   SmallStep::Create(backend.get()));
    PROTOPAGE_ASSERT_OK(step->Run());
    const int64_t bytes = backend->allocated_bytes();
    emulation::ResetEmulationCounters();
    for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(step->Run());
    const emulation::EmulationCounters counters = emulation::GetEmulationCounters();
    EXPECT_EQ(counters.mallocs, 0);
    EXPECT_EQ(counters.frees, 0);
    EXPECT_EQ(counters.host_mallocs, 0);
    EXPECT_EQ(counters.host_frees, 0);
    EXPECT_EQ(counters.synchronizations, 3);
    EXPECT_EQ(counters.copies, 3 * 3);  // Upload, images and download, but no tables.
    EXPECT_EQ(counters.pageable_copies, 0);
    EXPECT_EQ(backend->allocated_bytes(), bytes);
    PROTOPAGE_ASSERT_OK(backend->Synchronize());
  }
}

// A recording that doubles x and checks whether it is finite.
class Doubling {
 public:
  static absl::StatusOr<std::unique_ptr<Doubling>> Create(Backend* backend) {
    auto doubling = std::make_unique<Doubling>();
    doubling->backend_ = backend;
    doubling->recording_ = backend->NewRecording();
    PROTOPAGE_ASSIGN_OR_RETURN(doubling->x_, backend->Allocate(DType::kFloat32, {64}));
    PROTOPAGE_ASSIGN_OR_RETURN(doubling->found_, backend->Allocate(DType::kInt32, {1}));
    PROTOPAGE_RETURN_IF_ERROR(backend->Fill(doubling->x_, 1.0f));
    return doubling;
  }

  absl::Status Run(bool waits = false) {
    return backend_->Run(recording_.get(), 0, [this, waits]() -> absl::Status {
      ++calls_;
      if (waits) PROTOPAGE_RETURN_IF_ERROR(backend_->FinishDownloads());
      PROTOPAGE_RETURN_IF_ERROR(backend_->Scale(2.0f, x_));
      return backend_->FindNonFinite({x_}, found_);
    });
  }

  int calls() const { return calls_; }
  absl::Status refusal() const { return recording_->refusal(); }
  absl::StatusOr<float> value() const {
    std::vector<float> values(64);
    PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToHost(x_, values.data()));
    return values.back();
  }

 private:
  Backend* backend_ = nullptr;
  std::unique_ptr<Recording> recording_;
  Tensor x_, found_;
  int calls_ = 0;
};

TEST(CudaBackendEmulationTest, ARepeatedRunIsOneLaunch) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Doubling> doubling,
                                 Doubling::Create(backend.get()));
  PROTOPAGE_ASSERT_OK(doubling->Run());
  PROTOPAGE_ASSERT_OK(doubling->Run());
  emulation::ResetEmulationCounters();
  for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(doubling->Run());
  const emulation::EmulationCounters counters = emulation::GetEmulationCounters();
  EXPECT_EQ(counters.graph_launches, 3);
  EXPECT_EQ(counters.launches + counters.copies + counters.synchronizations, 0);
  EXPECT_EQ(doubling->calls(), 2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const float value, doubling->value());
  EXPECT_EQ(value, 32.0f);
}

TEST(CudaBackendEmulationTest, ARecordingIsDiscardedWhenMemoryIsReleased) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Doubling> doubling,
                                 Doubling::Create(backend.get()));
  for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(doubling->Run());
  PROTOPAGE_ASSERT_OK(backend->Allocate(DType::kFloat32, {64}).status());
  for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(doubling->Run());
  EXPECT_EQ(doubling->calls(), 4);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const float value, doubling->value());
  EXPECT_EQ(value, 64.0f);
}

TEST(CudaBackendEmulationTest, TheReasonWhyNothingIsRecordedIsReportedUntilRecordingSucceeds) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Doubling> doubling,
                                 Doubling::Create(backend.get()));
  PROTOPAGE_ASSERT_OK(doubling->Run(/*waits=*/true));
  PROTOPAGE_EXPECT_OK(doubling->refusal());  // Recording was not tried yet.
  for (int i = 0; i < 2; ++i) PROTOPAGE_ASSERT_OK(doubling->Run(/*waits=*/true));
  EXPECT_THAT(doubling->refusal(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                            "FinishDownloads: waiting cannot be recorded"));
  // This memory is released, so that the recording starts again.
  PROTOPAGE_ASSERT_OK(backend->Allocate(DType::kFloat32, {64}).status());
  for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(doubling->Run());
  PROTOPAGE_EXPECT_OK(doubling->refusal());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const float value, doubling->value());
  EXPECT_EQ(value, 64.0f);
}

// The driver allocates memory of its own for a graph.
TEST(CudaBackendEmulationTest, AGraphGetsTheMemoryThatWasCachedForReuse) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Doubling> doubling,
                                 Doubling::Create(backend.get()));
  PROTOPAGE_ASSERT_OK(backend->Allocate(DType::kFloat32, {1 << 20}).status());
  emulation::SetEmulatedDeviceMemory(emulation::GetEmulationCounters().device_bytes + 1000);
  for (int i = 0; i < 3; ++i) PROTOPAGE_EXPECT_OK(doubling->Run());
  emulation::SetEmulatedDeviceMemory(int64_t{8} << 30);
  PROTOPAGE_EXPECT_OK(doubling->refusal());
  EXPECT_EQ(doubling->calls(), 2);
}

// A graph reads the table of its tensors from its old address.
TEST(CudaBackendEmulationTest, ARecordingIsDiscardedWhenATableIsReplaced) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Doubling> doubling,
                                 Doubling::Create(backend.get()));
  for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(doubling->Run());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor other, backend->Allocate(DType::kFloat32, {64}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor found, backend->Allocate(DType::kInt32, {1}));
  for (int64_t i = 0; i < 40; ++i) {
    PROTOPAGE_ASSERT_OK(backend->FindNonFinite({other.Slice(i, 1)}, found));
  }
  PROTOPAGE_ASSERT_OK(doubling->Run());
  EXPECT_EQ(doubling->calls(), 3);
}

// A convolution with 32 channels on tensor cores.
class ImplicitConvolution {
 public:
  static absl::StatusOr<std::unique_ptr<ImplicitConvolution>> Create() {
    auto convolution = std::make_unique<ImplicitConvolution>();
    CudaBackendOptions options;
    options.precision = Precision::kTf32;
    options.convolutions = ConvolutionMethod::kImplicit;
    PROTOPAGE_ASSIGN_OR_RETURN(convolution->backend_, NewCudaBackend(options));
    Window2d& w = convolution->window_;
    w.batch = 9, w.in_h = w.in_w = w.out_h = w.out_w = 4, w.in_c = w.out_c = 32;
    w.kernel_h = w.kernel_w = 3, w.pad_top = w.pad_left = 1;
    const Shape image = {9, 4, 4, 32}, kernel = {3, 3, 32, 32};
    const std::pair<Tensor*, Shape> tensors[] = {
        {&convolution->x_, image},   {&convolution->w_, kernel},  {&convolution->y_, image},
        {&convolution->d_y_, image}, {&convolution->d_x_, image}, {&convolution->d_w_, kernel}};
    for (const auto& [tensor, shape] : tensors) {
      std::vector<float> values(shape.num_elements());
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7 % 23) - 11.0f;
      PROTOPAGE_ASSIGN_OR_RETURN(*tensor, convolution->backend_->Allocate(DType::kFloat32, shape));
      PROTOPAGE_RETURN_IF_ERROR(convolution->backend_->CopyToDevice(values.data(), *tensor));
    }
    return convolution;
  }

  absl::Status Forward() {
    return backend_->Conv2dForward(window_, x_, w_, Tensor(), /*relu=*/true, y_);
  }
  absl::Status Backward() {
    return backend_->Conv2dBackward(window_, x_, w_, y_, /*relu=*/false, d_y_, d_x_, d_w_,
                                    Tensor());
  }
  absl::StatusOr<std::vector<float>> Results() {
    std::vector<float> results;
    for (const Tensor& tensor : {y_, d_x_, d_w_}) {
      results.resize(results.size() + tensor.num_elements());
      PROTOPAGE_RETURN_IF_ERROR(
          backend_->CopyToHost(tensor, results.data() + results.size() - tensor.num_elements()));
    }
    return results;
  }

 private:
  std::unique_ptr<Backend> backend_;
  Window2d window_;
  Tensor x_, w_, y_, d_y_, d_x_, d_w_;
};

TEST(CudaBackendEmulationTest, AnImplicitConvolutionIsTwoLaunchesAndItsGradientThree) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto convolution, ImplicitConvolution::Create());
  emulation::ResetEmulationCounters();
  PROTOPAGE_ASSERT_OK(convolution->Forward());
  EXPECT_EQ(emulation::GetEmulationCounters().launches, 2);  // The first one packs the kernel.
  emulation::ResetEmulationCounters();
  PROTOPAGE_ASSERT_OK(convolution->Backward());
  // One for d_w, two for d_x, the first of which packs the kernel.
  EXPECT_EQ(emulation::GetEmulationCounters().launches, 1 + 2);
  PROTOPAGE_ASSERT_OK(convolution->Results().status());
}

TEST(CudaBackendEmulationTest, AnImplicitConvolutionDoesNotDependOnTheOrderOfThreads) {
  std::vector<float> forward;
  for (const char* order : {"forward", "reverse", "shuffled"}) {
    ASSERT_EQ(setenv("PROTOPAGE_CUDA_EMULATION_ORDER", order, /*overwrite=*/1), 0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto convolution, ImplicitConvolution::Create());
    PROTOPAGE_ASSERT_OK(convolution->Forward());
    PROTOPAGE_ASSERT_OK(convolution->Backward());
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> results, convolution->Results());
    if (forward.empty()) forward = results;
    EXPECT_EQ(results, forward) << order;
  }
  ASSERT_EQ(unsetenv("PROTOPAGE_CUDA_EMULATION_ORDER"), 0);
}

TEST(CudaBackendEmulationTest, ManyCopiesToTheDeviceWaitOnlyWhenTheStagesAreFull) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  const std::vector<float> values(int64_t{1} << 18, 1.0f);  // 1 MiB; two stages hold 8 MiB.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor x,
                                 backend->Allocate(DType::kFloat32, {int64_t{1} << 18}));
  PROTOPAGE_ASSERT_OK(backend->Synchronize());  // The stages are empty.
  emulation::ResetEmulationCounters();
  for (int i = 0; i < 8; ++i) PROTOPAGE_ASSERT_OK(backend->CopyToDevice(values.data(), x));
  EXPECT_EQ(emulation::GetEmulationCounters().synchronizations, 0);
  PROTOPAGE_ASSERT_OK(backend->CopyToDevice(values.data(), x));
  EXPECT_EQ(emulation::GetEmulationCounters().synchronizations, 1);
  PROTOPAGE_ASSERT_OK(backend->Synchronize());
}

// The clearing of a tensor, and earlier uses of its memory, may still be queued.
TEST(CudaBackendEmulationTest, AnUploadDoesNotOvertakeTheClearingOfItsTensor) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host, backend->AllocateHost(64 * 4));
  std::fill_n(static_cast<float*>(host->data()), 64, 3.0f);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor before, backend->Allocate(DType::kFloat32, {64}));
    PROTOPAGE_ASSERT_OK(backend->Fill(before, 7.0f));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor x, backend->Allocate(DType::kFloat32, {64}));
  PROTOPAGE_ASSERT_OK(backend->Upload(host->data(), x));
  // Runs the copies first, unless they wait for the clearing.
  PROTOPAGE_ASSERT_OK(backend->Synchronize());
  PROTOPAGE_ASSERT_OK(backend->FinishUploads());
  std::vector<float> values(64);
  PROTOPAGE_ASSERT_OK(backend->CopyToHost(x, values.data()));
  EXPECT_EQ(values, std::vector<float>(64, 3.0f));
}

// The copy may run long after the tensor is destroyed.
TEST(CudaBackendEmulationTest, ATensorThatIsUploadedToKeepsItsMemoryUntilTheUploadsAreFinished) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host, backend->AllocateHost(64 * 4));
  std::fill_n(static_cast<float*>(host->data()), 64, 3.0f);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor x, backend->Allocate(DType::kFloat32, {64}));
    PROTOPAGE_ASSERT_OK(backend->Upload(host->data(), x));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor y, backend->Allocate(DType::kFloat32, {64}));
  PROTOPAGE_ASSERT_OK(backend->Fill(y, 7.0f));
  PROTOPAGE_ASSERT_OK(backend->FinishUploads());
  std::vector<float> values(64);
  PROTOPAGE_ASSERT_OK(backend->CopyToHost(y, values.data()));
  EXPECT_EQ(values, std::vector<float>(64, 7.0f));
}

TEST(CudaBackendEmulationTest, WithoutAGpuTheReasonIsGiven) {
  emulation::SetEmulatedDeviceCount(0);
  EXPECT_THAT(NewCudaBackend(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         "no usable GPU: cudaErrorNoDevice: "));
  emulation::SetEmulatedDeviceCount(1);
  PROTOPAGE_EXPECT_OK(NewCudaBackend());
}

TEST(CudaBackendEmulationTest, AGpuThatThereIsNoMachineCodeForIsNamed) {
  emulation::SetEmulatedComputeCapability(10);
  EXPECT_THAT(NewCudaBackend(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         "has compute capability 10.0, this "));
  emulation::SetEmulatedComputeCapability(9);
}

TEST(CudaBackendEmulationTest, SaysWhatItRunsOn) {
  CudaBackendOptions options;
  options.precision = Precision::kTf32;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend(options));
  EXPECT_THAT(backend->Description(), testing::MatchesRegex("cuda \\(.+, sm_[0-9]+, tf32\\)"));
  EXPECT_EQ(backend->device(), DeviceType::kCuda);
}

TEST(CudaBackendEmulationTest, AnOperationThatRunsOutOfMemoryIsNamed) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor x,
                                 backend->Allocate(DType::kFloat32, {1, 64, 64, 8}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor w, backend->Allocate(DType::kFloat32, {3, 3, 8, 8}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor y,
                                 backend->Allocate(DType::kFloat32, {1, 62, 62, 8}));
  Window2d window;
  window.batch = 1, window.in_h = window.in_w = 64, window.in_c = window.out_c = 8;
  window.out_h = window.out_w = 62, window.kernel_h = window.kernel_w = 3;
  emulation::SetEmulatedDeviceMemory(emulation::GetEmulationCounters().device_bytes + 1000);
  const absl::Status status = backend->Conv2dForward(window, x, w, Tensor(), false, y);
  emulation::SetEmulatedDeviceMemory(int64_t{8} << 30);
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kResourceExhausted, "Conv2dForward: out of GPU memory"));
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("lower the batch size or classes_per_step"));
  // The error was found before anything was queued, so that the backend still works.
  PROTOPAGE_EXPECT_OK(backend->Conv2dForward(window, x, w, Tensor(), false, y));
  PROTOPAGE_EXPECT_OK(backend->Synchronize());
}

// Uses a tensor in host memory, which the device cannot access.
TEST(CudaBackendEmulationTest, AnErrorOfTheDeviceIsReturnedByTheOperationThatWaits) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
    std::vector<float> host(16);
    const Tensor x(std::make_shared<Buffer>(host.data(), 64), DType::kFloat32, {4, 4});
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor y, backend->Allocate(DType::kFloat32, {4, 4}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor norms, backend->Allocate(DType::kFloat32, {4}));
    PROTOPAGE_ASSERT_OK(backend->L2NormalizeRows(x, y, norms));  // Has not run yet.
    EXPECT_THAT(backend->Synchronize(),
                StatusIs(absl::StatusCode::kInternal, "Synchronize: cudaError"));
    EXPECT_THAT(backend->Fill(y, 1.0f), StatusIs(absl::StatusCode::kInternal, "Fill: cudaError"));
  }
  cudaDeviceReset();
}

// The operation after the download fails, which shows whether it has run.
TEST(CudaBackendEmulationTest, FinishDownloadsDoesNotWaitForWhatWasCalledAfterTheLastDownload) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host, backend->AllocateHost(64));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor y, backend->Allocate(DType::kFloat32, {4, 4}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor norms, backend->Allocate(DType::kFloat32, {4}));
    PROTOPAGE_ASSERT_OK(backend->Fill(y, 3.0f));
    PROTOPAGE_ASSERT_OK(backend->Download(y, host->data()));
    std::vector<float> not_of_the_device(16);
    const Tensor x(std::make_shared<Buffer>(not_of_the_device.data(), 64), DType::kFloat32, {4, 4});
    PROTOPAGE_ASSERT_OK(backend->L2NormalizeRows(x, y, norms));
    PROTOPAGE_EXPECT_OK(backend->FinishDownloads());
    EXPECT_EQ(static_cast<const float*>(host->data())[15], 3.0f);
    EXPECT_THAT(backend->Synchronize(), StatusIs(absl::StatusCode::kInternal, ""));
  }
  cudaDeviceReset();
}

}  // namespace
}  // namespace protopage
