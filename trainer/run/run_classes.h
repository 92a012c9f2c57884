// The names of a run's classes: classes/source.h5 and classes/target.h5 of its directory, of the
// kind class_names (prototypes/FORMAT.md), written before the first step and never changed.
//
//   PROTOPAGE_RETURN_IF_ERROR(UseRunClasses(fs, "runs/a", identity.get()));
//   UseClassIdentity(identity, session.get());  // Before the first split is opened.
#ifndef PROTOPAGE_TRAINER_RUN_RUN_CLASSES_H_
#define PROTOPAGE_TRAINER_RUN_RUN_CLASSES_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// One that logs its lines.
std::shared_ptr<ClassIdentity> NewLoggingIdentity(ClassPolicy policy);

// The classes that a run knows are those of its files. A run without them was made by an earlier
// program: its classes are known by their numbers, and the identity says so. Errors: DataLoss.
absl::Status UseRunClasses(FileSystem* fs, const std::string& directory, ClassIdentity* identity);

// For a new run: its target classes are those of prototypes.init_from, if the config names one and
// it knows their names. Errors: those of ClassNames::Open.
absl::Status UseInitFromClasses(FileSystem* fs, const TrainConfig& config, ClassIdentity* identity);

// From now on, the images that the session opens have the ids of the known classes.
void UseClassIdentity(std::shared_ptr<ClassIdentity> identity, Session* session);

// Writes the files of a new run, durably but for the name of their folder: the names of the classes
// that its stages read. Errors: those of the images and of ClassNames::Create.
absl::Status RecordRunClasses(FileSystem* fs, const std::string& directory,
                              const ClassIdentity& identity, Session* session);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_CLASSES_H_
