#include "protopage/trainer/verbs/stage_rehearsal.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/data/open_source.h"
#include "protopage/data/synthetic_type.h"
#include "protopage/model/checkpoint.h"
#include "protopage/trainer/stages/stage_kinds.h"
#include "protopage/trainer/stages/stage_trainer.h"

namespace protopage {
namespace {

constexpr int kSteps = 4;  // Of a rehearsal; the first, which allocates, does not count.
constexpr int kReadImages = 64;

// A folder that is removed with its content at the end of this object's life.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> Create() {
    const char* const named = std::getenv("TMPDIR");
    const std::string base = named != nullptr && *named != '\0' ? named : "/tmp";
    std::string path = JoinPath(base, "protopage-plan-XXXXXX");
    if (mkdtemp(path.data()) == nullptr) {
      return absl::UnavailableError(absl::StrCat("cannot make a folder in ", base, " (",
                                                 std::strerror(errno), "); TMPDIR names another"));
    }
    return TemporaryFolder(std::move(path));
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// The size as if nothing were a hole.
absl::StatusOr<int64_t> FileSize(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs->Open(path, OpenMode::kRead));
  return file->Size();
}

// The stage alone, on computed images, with no more classes than it takes to fill its steps.
TrainConfig RehearsalConfig(const TrainConfig& config, int64_t stage, int64_t num_classes) {
  TrainConfig rehearsal = config;
  rehearsal.init_from.clear();
  rehearsal.prototypes.init_from.clear();
  rehearsal.stages = {config.stages[stage]};
  rehearsal.stages[0].split.clear();  // The stage's own.
  rehearsal.stages[0].epochs = 0;
  rehearsal.stages[0].steps = kSteps;
  rehearsal.data = DataConfig();
  rehearsal.data.type = "synthetic";
  rehearsal.data.image_size = config.data.image_size;
  rehearsal.data.channels = ChannelsFor(config.data);
  // An image a class and more than a batch of them.
  const int64_t batch = config.stages[stage].batch_size;
  SyntheticConfig& synthetic = rehearsal.data.options.Mutable<SyntheticConfig>();
  synthetic.source_classes = num_classes;
  synthetic.target_classes = num_classes;
  synthetic.train_images = std::max<int64_t>(2, batch / num_classes + 1);
  // The memory of the index's lists is planned for the real number of classes.
  rehearsal.prototypes.index = "auto";
  rehearsal.prototypes.index_lists = 0;
  rehearsal.selection.frozen_queues = false;
  return rehearsal;
}

// The fastest of the steps after the first.
absl::StatusOr<double> MeasureSteps(StageTrainer* trainer) {
  std::vector<double> seconds;
  for (int64_t s = 0; s < kSteps; ++s) {
    const Stopwatch step;
    PROTOPAGE_RETURN_IF_ERROR(trainer->Step({s, s, kSteps}, 1).status());
    seconds.push_back(step.Seconds());
  }
  PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
  return *std::min_element(seconds.begin() + 1, seconds.end());
}

// The size of the model file of a checkpoint, which is written to `folder`.
absl::StatusOr<int64_t> MeasureModelFile(Session* session, StageTrainer* trainer, FileSystem* fs,
                                         const std::string& folder) {
  std::vector<CheckpointSection> sections = session->Sections();
  for (CheckpointSection& section : trainer->Sections()) sections.push_back(std::move(section));
  const std::string model = JoinPath(folder, "model.h5");
  PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs, model, sections, session->backend()));
  return FileSize(fs, model);
}

// The size of the prototype table and the queues in `folder`.
absl::StatusOr<int64_t> MeasureTable(FileSystem* fs, const std::string& folder) {
  int64_t bytes = 0;
  for (const char* name : {"prototypes.h5", "queues.h5"}) {
    const std::string path = JoinPath(folder, name);
    if (!fs->Exists(path)) continue;
    PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, FileSize(fs, path));
    bytes += size;
  }
  return bytes;
}

}  // namespace

absl::StatusOr<RehearsedStage> RehearseStage(const TrainConfig& config, int64_t stage,
                                             int64_t num_classes, int64_t active_classes) {
  // The table of a rehearsal has a few steps' worth of classes; all where all take part.
  const int64_t classes = std::min(num_classes, std::max<int64_t>(4096, 4 * active_classes));
  PROTOPAGE_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create());
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session,
                             Session::Create(RehearsalConfig(config, stage, classes)));
  const StageKind& kind = GetStageKind(config.stages[stage].name);
  PROTOPAGE_ASSIGN_OR_RETURN(const auto trainer, kind.NewTrainer(session.get(), 0, 0, folder.path(),
                                                                 /*resumed=*/false));
  RehearsedStage measured;
  PROTOPAGE_ASSIGN_OR_RETURN(measured.step_seconds, MeasureSteps(trainer.get()));
  measured.model_memory = session->backend()->allocated_bytes();
  measured.on_gpu = session->backend()->device() == DeviceType::kCuda;
  PROTOPAGE_ASSIGN_OR_RETURN(measured.checkpoint_bytes,
                             MeasureModelFile(session.get(), trainer.get(), fs, folder.path()));
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t table_bytes, MeasureTable(fs, folder.path()));
  measured.class_bytes = table_bytes / classes;
  return measured;
}

absl::StatusOr<double> MeasureImages(const Session& session, const ImageSource& source,
                                     int64_t batch) {
  RandomStream random(session.config().seed, RandomPurpose::kTest, 0);
  Image image;
  const Stopwatch stopwatch;
  for (int i = 0; i < kReadImages; ++i) {
    PROTOPAGE_RETURN_IF_ERROR(
        source.Read(static_cast<int64_t>(random.Below(source.size())), &image));
  }
  return stopwatch.Seconds() / kReadImages * static_cast<double>(batch) / session.LoaderThreads();
}

}  // namespace protopage
