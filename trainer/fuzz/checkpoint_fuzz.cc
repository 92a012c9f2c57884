// A run with a checkpoint, one file of which the fuzzer writes: the text of a JSON file or of DONE,
// with or without a seal that matches it, or changed bytes of another file. The run is checked as
// `protopage check` does, and opened as eval and embed do.
//
// model.h5 also gets other content under its own checksum. Changed bytes of its HDF5 structures
// never do: HDF5 1.10 may crash on such files, and the checksum is what keeps them from it.
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"
#include "protopage/base/fuzz/fuzz_checks.h"
#include "protopage/base/fuzz/fuzz_folder.h"
#include "protopage/base/fuzz/fuzz_input.h"
#include "protopage/base/json_text.h"
#include "protopage/base/sealed_json.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/run/checkpoint_manifest.h"
#include "protopage/trainer/run/recovery.h"
#include "protopage/trainer/run/run_check.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/session/session.h"

namespace protopage {
namespace {

constexpr char kConfig[] = R"({
  "seed": 11, "threads": 1, "loader_threads": 1, "log_every_steps": 2, "keep_checkpoints": 1,
  "data": {"type": "synthetic", "image_size": 18, "channels": 1,
           "synthetic": {"source_classes": 4, "target_classes": 20, "unseen_classes": 4,
                         "train_images": 1, "test_images": 1}},
  "model": {"net": "seed_cnn", "embedding_dim": 4},
  "prototypes": {"index": "flat", "index_update_steps": 3},
  "selection": {"mode": "dominant", "classes_per_step": 8, "positive_classes": 4,
                "dominant_queue": 3, "candidate_queue": 5, "images_for": "positives"},
  "stages": [{"name": "imprint"},
             {"name": "dominant", "steps": 4, "batch_size": 4, "train_net": false,
              "rows": {"learning_rate": 0.2}},
             {"name": "evaluate"}]
})";

const FuzzFolder& Folder() {
  static FuzzFolder* const folder = new FuzzFolder("checkpoint");
  return *folder;
}

FileSystem* fs() { return DefaultFileSystem(); }

struct Base {
  std::map<std::string, std::string> files;
  std::vector<std::string> names;  // Of those that the fuzzer writes.
  std::string checkpoint;          // The folder, relative.
  std::unique_ptr<Session> session;
};

absl::Status Checked(const absl::Status& status) {
  CheckError(status);
  return status;
}

Base MakeBase() {
  const nlohmann::json json = ParseJson(kConfig, "config").value();
  TrainObserver console;  // Prints nothing.
  TrainOptions options;
  options.directory = Folder().path();
  options.console = &console;
  PROTOPAGE_CHECK(Train(ReadTrainConfig(json, {}, "config").value(), options).ok());
  const RunDirectory run = RunDirectory::Open(fs(), Folder().path()).value();
  PROTOPAGE_CHECK(WriteRecovery(run, 0.1, "loss was not finite").ok());
  Base base;
  const int64_t number = run.LatestNumber().value();
  base.checkpoint = absl::StrCat("checkpoints/", CheckpointName(number));
  for (const std::string& name : Folder().Names()) {
    base.files[name] = Folder().Read(name);
    const bool exempt = absl::EndsWith(name, ".html") || absl::StrContains(name, "events.") ||
                        absl::EndsWith(name, "lock");
    if (!exempt) base.names.push_back(name);
  }
  base.session =
      LoadRun(fs(), Folder().path(), ReadRunConfig(fs(), Folder().path(), {}).value()).value();
  return base;
}

// The text with a seal; as it is if it is no object that can have one.
std::string Sealed(absl::string_view text) {
  absl::string_view open = text;
  if (!absl::ConsumeSuffix(&open, "\n}\n") && !absl::ConsumeSuffix(&open, "}\n")) {
    return std::string(text);
  }
  return absl::EndsWith(open, "{") ? std::string(text) : SealJson(text);
}

std::string SealedLines(absl::string_view text) {
  std::string sealed;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!line.empty()) absl::StrAppend(&sealed, Sealed(absl::StrCat(line, "\n")));
  }
  return sealed;
}

// Visits the state of a section under other names, leaves pieces out, and swaps arrays.
class OtherState : public StateVisitor {
 public:
  OtherState(FuzzInput* input, StateVisitor* to) : input_(input), to_(to) {}

  void Array(absl::string_view name, const Tensor& tensor) override {
    switch (input_->Below(8)) {
      case 0:
        return;
      case 1: {
        int64_t value = input_->Integer();
        return to_->Integer(name, &value);
      }
      case 2:
        return to_->Array(absl::StrCat(name, "/", input_->Byte()), tensor);
      case 3:
        if (!before_.has_value()) break;
        return to_->Array(name, *before_);
      default:
        break;
    }
    to_->Array(name, tensor);
    before_ = tensor;
  }
  void Integer(absl::string_view name, int64_t* value) override {
    int64_t other = input_->Below(2) == 0 ? *value : input_->Integer();
    to_->Integer(name, &other);
  }
  void Number(absl::string_view name, double* value) override {
    if (input_->Below(2) == 0) return to_->Number(name, value);
    int64_t integer = input_->Integer();
    to_->Integer(name, &integer);
  }

 private:
  FuzzInput* const input_;
  StateVisitor* const to_;
  std::optional<Tensor> before_;
};

// A model file with other state than the session's.
void WriteModel(const std::string& path, Session* session, FuzzInput* input) {
  std::vector<CheckpointSection> sections;
  for (const CheckpointSection& section : session->Sections()) {
    if (input->Below(8) == 0) continue;
    sections.push_back({section.name, [state = section.state, input](StateVisitor& v) {
                          OtherState other(input, &v);
                          state(other);
                        }});
  }
  SaveCheckpoint(fs(), path, sections, session->backend()).IgnoreError();
}

// What the check and a reader say of the run.
void TryRun(bool all) {
  const std::string& directory = Folder().path();
  const absl::StatusOr<RunDirectory> run = RunDirectory::Open(fs(), directory);
  if (run.ok()) Checked(ReadRecovery(*run).status()).IgnoreError();
  ThreadPool pool(1);
  const absl::StatusOr<RunCheck> check = CheckRun(fs(), directory, &pool, {});
  Checked(check.status()).IgnoreError();
  if (check.ok()) {
    for (const RunFinding& finding : check->findings) {
      CheckError(absl::DataLossError(finding.what));
      CheckError(absl::DataLossError(finding.meaning));
    }
  }
  if (!all) return;
  const auto config = ReadRunConfig(fs(), directory, {"threads=1"});
  // Images and nets of another config may be large.
  if (!Checked(config.status()).ok() || config->data.image_size > 64 ||
      config->model.embedding_dim > 64 || config->data.type != "synthetic") {
    return;
  }
  const absl::Status read =
      Checked(ReadRun(fs(), directory, *config, {}, [](std::unique_ptr<Session> session) {
        PROTOPAGE_CHECK(session != nullptr);
        return absl::OkStatus();
      }));
  // A reader finds no damage that the check does not find.
  PROTOPAGE_CHECK(!absl::IsDataLoss(read) || !check.ok() || !check->findings.empty());
}

void TryBytes(FuzzInput input) {
  static Base* const base = new Base(MakeBase());
  const auto which = input.Below(static_cast<int64_t>(base->names.size()) + 1);
  const bool sealed = input.Below(4) > 0;
  const bool listed = input.Below(4) > 0;  // DONE lists the new bytes.
  const bool all = input.Below(4) == 0;
  const bool made = which == static_cast<int64_t>(base->names.size());
  const std::string name = made ? base->checkpoint + "/model.h5" : base->names[which];
  std::string bytes = base->files.at(name);
  if (made) {
    // Read by the net of the run.
    const std::string path = Folder().Path(name);
    WriteModel(path, base->session.get(), &input);
    Checked(LoadCheckpoint(fs(), path, base->session->Sections(), base->session->backend()))
        .IgnoreError();
  } else {
    if (absl::EndsWith(name, ".json")) {
      bytes = sealed ? Sealed(input.Rest()) : std::string(input.Rest());
    } else if (absl::EndsWith(name, ".jsonl")) {
      bytes = sealed ? SealedLines(input.Rest()) : std::string(input.Rest());
    } else if (absl::EndsWith(name, "/DONE")) {
      bytes = std::string(input.Rest());
      if (sealed) {
        absl::StrAppend(&bytes, "xxh3 ",
                        absl::StrFormat("%016x", XXH3_64bits(bytes.data(), bytes.size())), "\n");
      }
    } else {
      input.Mutate(&bytes);
    }
    Folder().Write(name, bytes);
  }
  const bool in_checkpoint = absl::StartsWith(name, base->checkpoint);
  const std::string done = base->checkpoint + "/DONE";
  if (in_checkpoint && name != done && listed) {
    const std::string folder = Folder().Path(base->checkpoint);
    const int64_t number = *ParseCheckpointName(BaseName(base->checkpoint));
    const std::string run = ReadManifest(fs(), folder).value().run;
    PROTOPAGE_CHECK(
        WriteManifest(fs(), folder, MakeManifest(fs(), folder, number, run).value()).ok());
  }
  TryRun(all);
  Folder().Write(name, base->files.at(name));
  Folder().Write(done, base->files.at(done));
}

}  // namespace
}  // namespace protopage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protopage::TryBytes(protopage::FuzzInput(data, size));
  return 0;
}
