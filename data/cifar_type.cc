#include "protopage/data/cifar_type.h"

#include "protopage/base/file.h"
#include "protopage/data/cifar_source.h"

namespace protopage {
namespace {

absl::Status CheckSplit(const SourceSettings&, Split split) {
  if (split != Split::kUnseen) return absl::OkStatus();
  return absl::InvalidArgumentError("data.type cifar has no unseen classes");
}

absl::StatusOr<std::unique_ptr<ImageSource>> Open(const SourceRequest& request) {
  const CifarConfig& config = request.settings.options.Get<CifarConfig>();
  if (config.data_dir.empty()) {
    return absl::InvalidArgumentError(
        "data.data_dir is not set: the folder with cifar-10-batches-bin and cifar-100-binary");
  }
  return OpenCifar(DefaultFileSystem(), config.data_dir,
                   IsSource(request.split) ? config.source_dataset : config.target_dataset,
                   /*train=*/IsTraining(request.split));
}

}  // namespace

void CifarConfig::Fields(ConfigVisitor& v) {
  v.Text("data_dir", &data_dir,
         {.help = "cifar: the folder with cifar-10-batches-bin and cifar-100-binary",
          .is_path = true});
  v.Text("source_dataset", &source_dataset,
         {.help = "cifar: the data set of the source splits", .choices = {"cifar10", "cifar100"}});
  v.Text("target_dataset", &target_dataset,
         {.help = "cifar: the data set of the target splits", .choices = {"cifar10", "cifar100"}});
}

const SourceType& CifarType() {
  static const SourceType type = {
      .name = "cifar",
      .help = "the official binaries",
      .check_split = CheckSplit,
      .fields = [](SourceSettings& settings,
                   ConfigVisitor& v) { settings.options.Mutable<CifarConfig>().Fields(v); },
      .open = Open,
  };
  return type;
}

}  // namespace protopage
