#include "protopage/trainer/session/class_identity.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr struct {
  ClassPolicy policy;
  const char* name;
} kPolicies[] = {{ClassPolicy::kExact, "exact"},
                 {ClassPolicy::kMapped, "mapped"},
                 {ClassPolicy::kIgnored, "ignored"}};

// Names that are looked up at once.
constexpr int64_t kBlock = 1 << 16;
constexpr int64_t kShown = 3;

// Names, of which the first few are shown.
class NameSample {
 public:
  void Add(const std::string& name) {
    if (count_++ < kShown) first_.push_back(ClassNames::Quoted(name));
  }
  // The numbers from `first` to `end` - 1.
  void AddNumbers(int64_t first, int64_t end) {
    for (int64_t i = first; i < std::min(end, first + kShown); ++i) Add(absl::StrCat(i));
    count_ += std::max<int64_t>(end - first - kShown, 0);
  }
  int64_t count() const { return count_; }
  // `"a", "b", "c" and 7 more`
  std::string Text() const {
    const int64_t more = count_ - static_cast<int64_t>(first_.size());
    return absl::StrCat(absl::StrJoin(first_, ", "),
                        more > 0 ? absl::StrCat(" and ", more, " more") : "");
  }

 private:
  int64_t count_ = 0;
  std::vector<std::string> first_;
};

struct Comparison {
  ClassMapping mapping;
  NameSample unknown;     // Classes of the images that are not known.
  NameSample missing;     // Known classes that the images do not have.
  bool nameless = false;  // Some known class has no name.
};

absl::StatusOr<ClassNamesPlan> PlanOf(const ImageSource& source) {
  if (source.numbered_classes()) return ClassNames::PlanNumbered(source.num_classes());
  return ClassNames::Plan(source.num_classes(), [&](ClassId c) -> absl::StatusOr<std::string> {
    return source.ClassName(c);
  });
}

// Both have the names 0, 1, ..., so no table is needed.
Comparison CompareNumbered(int64_t of_source, int64_t known) {
  Comparison comparison;
  comparison.mapping.num_classes = known;
  comparison.unknown.AddNumbers(known, of_source);
  comparison.missing.AddNumbers(of_source, known);
  return comparison;
}

absl::StatusOr<Comparison> Compare(const ImageSource& source, const KnownClasses& known) {
  const ClassNames& names = *known.names;
  if (source.numbered_classes() && names.all_numbered()) {
    return CompareNumbered(source.num_classes(), names.num_classes());
  }
  ClassNames::LeftOut is_dropped;
  if (known.dropped) {
    PROTOPAGE_ASSIGN_OR_RETURN(is_dropped, known.dropped());
  }
  Comparison comparison;
  comparison.mapping.num_classes = names.num_classes();
  std::vector<bool> found(names.num_classes(), false);
  for (ClassId first = 0; first < source.num_classes(); first += kBlock) {
    std::vector<std::string> block;
    const ClassId end = std::min(first + kBlock, source.num_classes());
    for (ClassId c = first; c < end; ++c) block.push_back(source.ClassName(c));
    PROTOPAGE_ASSIGN_OR_RETURN(std::vector<ClassId> ids, names.FindAll(block, is_dropped));
    if (is_dropped != nullptr) {
      // Images of a dropped class are its own, and nobody uses them.
      PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<ClassId> any, names.FindAll(block));
      for (size_t i = 0; i < ids.size(); ++i) ids[i] = ids[i] == kNoClass ? any[i] : ids[i];
    }
    for (size_t i = 0; i < block.size(); ++i) {
      if (ids[i] == kNoClass) {
        comparison.unknown.Add(block[i]);
        comparison.mapping.labels.push_back(ClassMapping::kLeftOut);
        continue;
      }
      if (found[ids[i]]) {
        return absl::InvalidArgumentError(absl::StrCat(source.Description(),
                                                       ": two classes have the same name, ",
                                                       ClassNames::Quoted(block[i])));
      }
      found[ids[i]] = true;
      comparison.mapping.labels.push_back(static_cast<uint32_t>(ids[i]));
    }
  }
  for (ClassId first = 0; first < names.num_classes(); first += kBlock) {
    const int64_t count = std::min(kBlock, names.num_classes() - first);
    const auto begin = found.begin() + first;
    if (std::find(begin, begin + count, false) == begin + count) continue;
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> block, names.Names(first, count));
    for (int64_t i = 0; i < count; ++i) {
      const ClassId id = first + i;
      if (found[id] || (is_dropped != nullptr && is_dropped(id))) continue;
      comparison.nameless = comparison.nameless || block[i].empty();
      comparison.missing.Add(block[i]);
    }
  }
  return comparison;
}

std::string Classes(int64_t count) {
  return absl::StrCat(count, count == 1 ? " class" : " classes");
}

}  // namespace

absl::StatusOr<ClassPolicy> ParseClassPolicy(absl::string_view name) {
  for (const auto& entry : kPolicies) {
    if (name == entry.name) return entry.policy;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("found \"", name, "\", expected exact, mapped or ignored"));
}

const char* ClassRoleName(ClassRole role) {
  return role == ClassRole::kSource ? "source" : "target";
}

ClassRole ClassRoleOf(Split split) {
  return IsSource(split) ? ClassRole::kSource : ClassRole::kTarget;
}

std::string RunClassesPath(const std::string& directory, ClassRole role) {
  return JoinPath(JoinPath(directory, kClassesFolder), absl::StrCat(ClassRoleName(role), ".h5"));
}

absl::Status ClassIdentity::Match(const ImageSource& source, Role& role) {
  KnownClasses& known = role.known;
  PROTOPAGE_ASSIGN_OR_RETURN(const ClassNamesPlan plan, PlanOf(source));
  if (known.names->IsEqual(plan)) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(Comparison comparison, Compare(source, known));
  const NameSample& unknown = comparison.unknown;
  const NameSample& missing = comparison.missing;
  if (comparison.nameless) {
    known.names.reset();
    return say_(absl::StrCat(known.owner,
                             " does not know the names of all of its classes: those of ",
                             source.Description(), " are taken by their numbers"));
  }
  const bool same = unknown.count() == 0 && missing.count() == 0;
  std::vector<std::string> differences;
  if (unknown.count() > 0) {
    differences.push_back(
        absl::StrCat(Classes(unknown.count()), " not known there: ", unknown.Text()));
  }
  if (missing.count() > 0) {
    differences.push_back(
        absl::StrCat(Classes(missing.count()), " known there only: ", missing.Text()));
  }
  const std::string text = absl::StrJoin(differences, "; ");
  if (!same && policy_ == ClassPolicy::kExact) {
    return absl::InvalidArgumentError(absl::StrCat(
        source.Description(), ": the classes are not those of ", known.owner, ": ", text,
        ". --class_names=mapped uses the classes that have the same name and leaves out the "
        "others; --class_names=ignored takes all by their numbers"));
  }
  if (unknown.count() == source.num_classes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        source.Description(), ": no class has a name that is known in ", known.owner, ": ", text));
  }
  role.mapping = std::make_shared<ClassMapping>(std::move(comparison.mapping));
  if (!same) {
    return say_(absl::StrCat(source.Description(), ": of the classes of ", known.owner, ", ",
                             source.num_classes() - unknown.count(), " are found by name; ", text));
  }
  return say_(absl::StrCat(source.Description(), ": the classes are those of ", known.owner,
                           " in another order, and keep their ids by name"));
}

absl::StatusOr<std::shared_ptr<const ImageSource>> ClassIdentity::Map(
    Split split, std::shared_ptr<const ImageSource> source) {
  if (split == Split::kUnseen || policy_ == ClassPolicy::kIgnored) return source;
  Role& role = Of(ClassRoleOf(split));
  if (!role.matched) {
    if (role.known.names != nullptr) {
      PROTOPAGE_RETURN_IF_ERROR(Match(*source, role));
    } else if (!role.known.owner.empty()) {
      PROTOPAGE_RETURN_IF_ERROR(
          say_(absl::StrCat(role.known.owner, " has no record of the names of its ",
                            ClassRoleName(ClassRoleOf(split)),
                            " classes: those of the images are taken by their numbers")));
    }
    role.matched = true;
  }
  if (role.mapping == nullptr) return source;
  return MapClasses(std::move(source), role.mapping,
                    [names = role.known.names](ClassId id) -> std::string {
                      const absl::StatusOr<std::string> name = names->Name(id);
                      return name.ok() ? *name : absl::StrCat(id);
                    });
}

}  // namespace protopage
