// ClassIdentity: gives the classes of images the ids that a run knows them by. What makes two
// classes the same is the name: of a folder, or the label in a list.
//
//   auto identity = std::make_shared<ClassIdentity>(ClassPolicy::kExact, say);
//   identity->SetKnown(ClassRole::kTarget, {names, "the run runs/a"});
//   session->images().set_class_mapper([identity](Split split, auto source) {
//     return identity->Map(split, std::move(source));
//   });
//
// Images whose classes are those of the run, in the same order, are used as they are: that is one
// comparison of fingerprints. When only the order differs, ids are found by name.
#ifndef PROTOPAGE_TRAINER_SESSION_CLASS_IDENTITY_H_
#define PROTOPAGE_TRAINER_SESSION_CLASS_IDENTITY_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/data/image_source.h"
#include "protopage/data/mapped_source.h"
#include "protopage/data/split.h"
#include "protopage/prototypes/class_names.h"

namespace protopage {

// What happens when the classes of images are not those that the run knows.
enum class ClassPolicy {
  kExact,    // They are refused.
  kMapped,   // Those that the run knows by name are used, others are left out.
  kIgnored,  // Names are not compared: class c of the images has the id c.
};

// "exact", "mapped", "ignored". Errors: InvalidArgument.
absl::StatusOr<ClassPolicy> ParseClassPolicy(absl::string_view name);

// The sets of classes of a run, each with ids of its own.
enum class ClassRole { kSource, kTarget };
inline constexpr ClassRole kClassRoles[] = {ClassRole::kSource, ClassRole::kTarget};
const char* ClassRoleName(ClassRole role);  // "source"
ClassRole ClassRoleOf(Split split);         // Of any but `unseen`.

// Where a run keeps the names of the classes of a role.
inline constexpr char kClassesFolder[] = "classes";
std::string RunClassesPath(const std::string& directory, ClassRole role);

// The classes that a run or a store knows.
struct KnownClasses {
  std::shared_ptr<const ClassNames> names;  // Null when they were not recorded.
  std::string owner = {};                   // For messages: "the run runs/a".
  // Gives the predicate of dropped classes, null when there are none. Called at most once, when the
  // classes of images differ: these need not have the dropped ones.
  std::function<absl::StatusOr<ClassNames::LeftOut>()> dropped = {};
};

// Used by one thread at a time.
class ClassIdentity {
 public:
  // `say` gets lines for the user, each once.
  ClassIdentity(ClassPolicy policy, std::function<absl::Status(const std::string&)> say)
      : policy_(policy), say_(std::move(say)) {}

  ClassPolicy policy() const { return policy_; }
  void SetKnown(ClassRole role, KnownClasses known) { Of(role).known = std::move(known); }
  const KnownClasses& known(ClassRole role) const { return roles_[static_cast<int>(role)].known; }

  // `source` with the ids of the known classes of its role; itself when they are the same, when
  // none are known, or for `unseen`. Splits of one role have the same classes. Errors:
  // InvalidArgument (the classes differ, and the first that do are named), those of ClassNames and
  // of `say`.
  absl::StatusOr<std::shared_ptr<const ImageSource>> Map(Split split,
                                                         std::shared_ptr<const ImageSource> source);

 private:
  struct Role {
    KnownClasses known;
    bool matched = false;                         // The rest is set, by the first source.
    std::shared_ptr<const ClassMapping> mapping;  // Null when ids are those of the source.
  };

  Role& Of(ClassRole role) { return roles_[static_cast<int>(role)]; }
  absl::Status Match(const ImageSource& source, Role& role);

  const ClassPolicy policy_;
  const std::function<absl::Status(const std::string&)> say_;
  Role roles_[2];
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_SESSION_CLASS_IDENTITY_H_
