#include "protopage/trainer/run/run_classes.h"

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

absl::Status Record(FileSystem* fs, const std::string& path, const KnownClasses& known,
                    const ImageSource& source) {
  if (known.names != nullptr) {
    const ClassNames& names = *known.names;
    if (names.all_numbered()) return ClassNames::CreateNumbered(fs, path, names.num_classes());
    ClassNames::LeftOut is_dropped;
    if (known.dropped) {
      PROTOPAGE_ASSIGN_OR_RETURN(is_dropped, known.dropped());
    }
    return ClassNames::Create(
        fs, path, names.num_classes(), [&](ClassId id) -> absl::StatusOr<std::string> {
          PROTOPAGE_ASSIGN_OR_RETURN(std::string name, names.Name(id));
          if (name.empty() || is_dropped == nullptr || !is_dropped(id)) return name;
          // A later class may have the name of a dropped one.
          PROTOPAGE_ASSIGN_OR_RETURN(const ClassId live, names.Find(name, is_dropped));
          PROTOPAGE_ASSIGN_OR_RETURN(const ClassId first, names.Find(name));
          return live == kNoClass && first == id ? name : std::string();
        });
  }
  if (source.numbered_classes()) return ClassNames::CreateNumbered(fs, path, source.num_classes());
  return ClassNames::Create(
      fs, path, source.num_classes(),
      [&](ClassId id) -> absl::StatusOr<std::string> { return source.ClassName(id); });
}

absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenForReading(FileSystem* fs,
                                                               const std::string& path) {
  PrototypeStoreOptions options;
  options.read_only = true;
  options.file_system = fs;
  return PrototypeStore::Open(path, options);
}

// Null when no class of the store was dropped.
absl::StatusOr<ClassNames::LeftOut> DroppedIn(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<PrototypeStore> store, OpenForReading(fs, path));
  if (store->num_dropped() == 0) return ClassNames::LeftOut();
  return ClassNames::LeftOut([store](ClassId id) { return store->is_dropped(id); });
}

// All prototypes that a run makes begin with the same dropped classes, and it drops no other.
absl::StatusOr<ClassNames::LeftOut> DroppedInRun(FileSystem* fs, const std::string& directory) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> files, fs->List(directory));
  for (absl::string_view name : files) {
    int64_t generation = 1;
    const std::string file(name);
    if (!absl::ConsumePrefix(&name, "prototypes") || !absl::ConsumeSuffix(&name, ".h5")) continue;
    const bool numbered = absl::ConsumePrefix(&name, "-") && absl::SimpleAtoi(name, &generation);
    if (name.empty() || numbered) return DroppedIn(fs, JoinPath(directory, file));
  }
  return ClassNames::LeftOut();
}

}  // namespace

std::shared_ptr<ClassIdentity> NewLoggingIdentity(ClassPolicy policy) {
  return std::make_shared<ClassIdentity>(policy, [](const std::string& text) {
    LogInfo(text);
    return absl::OkStatus();
  });
}

absl::Status UseRunClasses(FileSystem* fs, const std::string& directory, ClassIdentity* identity) {
  for (const ClassRole role : kClassRoles) {
    KnownClasses known;
    known.owner = absl::StrCat("the run ", directory);
    const std::string path = RunClassesPath(directory, role);
    if (identity->policy() != ClassPolicy::kIgnored && fs->Exists(path)) {
      absl::StatusOr<std::unique_ptr<ClassNames>> names = ClassNames::Open(fs, path);
      if (!names.ok()) {
        return absl::Status(
            names.status().code(),
            absl::StrCat(names.status().message(),
                         "; --class_names=ignored does without it and takes classes "
                         "by their numbers"));
      }
      known.names = *std::move(names);
    }
    if (role == ClassRole::kTarget) known.dropped = [=] { return DroppedInRun(fs, directory); };
    identity->SetKnown(role, std::move(known));
  }
  return absl::OkStatus();
}

absl::Status UseInitFromClasses(FileSystem* fs, const TrainConfig& config,
                                ClassIdentity* identity) {
  const std::string& path = config.prototypes.init_from;
  if (path.empty()) return absl::OkStatus();
  int64_t num_classes = 0;
  {
    const auto store = OpenForReading(fs, path);
    if (!store.ok()) return WithContext(store.status(), "prototypes.init_from");
    num_classes = (*store)->num_classes();
  }
  KnownClasses known;
  known.owner = absl::StrCat("prototypes.init_from, ", path);
  absl::StatusOr<std::unique_ptr<ClassNames>> names =
      ClassNames::OpenInStore(fs, path, num_classes);
  if (!absl::IsNotFound(names.status())) {
    PROTOPAGE_RETURN_IF_ERROR(WithContext(names.status(), "prototypes.init_from"));
    known.names = *std::move(names);
  }
  known.dropped = [=] { return DroppedIn(fs, path); };
  identity->SetKnown(ClassRole::kTarget, std::move(known));
  return absl::OkStatus();
}

void UseClassIdentity(std::shared_ptr<ClassIdentity> identity, Session* session) {
  session->images().set_class_mapper(
      [identity = std::move(identity)](Split split, std::shared_ptr<const ImageSource> source) {
        return identity->Map(split, std::move(source));
      });
}

absl::Status RecordRunClasses(FileSystem* fs, const std::string& directory,
                              const ClassIdentity& identity, Session* session) {
  // The first checkpoint makes the folder's name durable; before it, the run begins again.
  PROTOPAGE_RETURN_IF_ERROR(fs->CreateDirectories(JoinPath(directory, kClassesFolder)));
  const TrainConfig& config = session->config();
  std::set<ClassRole> done;
  for (int64_t stage = 0; stage < static_cast<int64_t>(config.stages.size()); ++stage) {
    const Split split = StageSplit(config, stage);
    const ClassRole role = ClassRoleOf(split);
    if (!done.insert(role).second) continue;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session->images().Open(split));
    PROTOPAGE_RETURN_IF_ERROR(
        Record(fs, RunClassesPath(directory, role), identity.known(role), *source));
  }
  return absl::OkStatus();
}

}  // namespace protopage
