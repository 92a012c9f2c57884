#include "protopage/trainer/verbs/store_classes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {
namespace {

absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenStore(FileSystem* fs, const std::string& path,
                                                          bool read_only) {
  PrototypeStoreOptions options;
  options.read_only = read_only;
  options.file_system = fs;
  return PrototypeStore::Open(path, options);
}

// A store that classes may join and leave.
absl::StatusOr<std::unique_ptr<PrototypeStore>> OpenOwnStore(FileSystem* fs,
                                                             const std::string& path,
                                                             bool read_only) {
  const auto wrong = [&](absl::string_view found, absl::string_view expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("--store: ", path, " ", found, ", expected ", expected));
  };
  {
    // The open for writing would take no file of a run, with an error that knows of no flag.
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenStore(fs, path, /*read_only=*/true));
    if (store->had_log_when_opened()) {
      return wrong("is the file of a run", "a store by itself, as protopage export makes it");
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(auto store, OpenStore(fs, path, read_only));
  if (!store->clean_when_opened()) {
    return wrong("is being written, or was when its process died: its rows may be of several steps",
                 "one that was closed; export it again, or take an earlier copy");
  }
  return store;
}

// Ids come from the user.
absl::Status CheckClasses(const PrototypeStore& store, const std::vector<ClassId>& ids) {
  for (const ClassId id : ids) {
    if (id < 0 || id >= store.num_classes()) {
      return absl::InvalidArgumentError(absl::StrCat(store.path(), ": found class ", id,
                                                     ", expected 0 to ", store.num_classes() - 1));
    }
    if (store.is_dropped(id)) {
      return absl::InvalidArgumentError(
          absl::StrCat(store.path(), ": class ", id, " was dropped before"));
    }
  }
  return absl::OkStatus();
}

// New classes must have names of their own.
absl::Status CheckNewNames(const PrototypeStore& store, const ImageSource& source,
                           const std::vector<std::string>& names) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<ClassId> ids, store.FindClasses(names));
  const auto known = [](ClassId id) { return id != kNoClass; };
  const auto first = std::find_if(ids.begin(), ids.end(), known);
  if (first == ids.end()) return absl::OkStatus();
  const int64_t more = std::count_if(first + 1, ids.end(), known);
  return absl::InvalidArgumentError(absl::StrCat(
      "--input: ", source.Description(), ": class ", ClassNames::Quoted(names[first - ids.begin()]),
      " is class ", *first, " of ", store.path(), " already",
      more > 0 ? absl::StrCat(", and so are ", more, " more") : "", "; no class was added"));
}

StoreClassCounts CountsOf(const PrototypeStore& store) {
  return {store.num_classes(), store.num_dropped()};
}

}  // namespace

absl::StatusOr<std::vector<AddedClass>> AddClasses(FileSystem* fs, const std::string& path,
                                                   Embedder& embedder, int64_t embedding_dim,
                                                   const ImageSource& source,
                                                   const ImprintOptions& options) {
  std::vector<std::string> names;
  int64_t longest = 1;
  for (ClassId c = 0; c < source.num_classes(); ++c) {
    names.push_back(source.ClassName(c));
    PROTOPAGE_RETURN_IF_ERROR(ClassNames::CheckName(names.back()));
    longest = std::max(longest, static_cast<int64_t>(names.back().size()));
  }
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenOwnStore(fs, path, /*read_only=*/true));
    if (store->dim() != embedding_dim) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": its rows have ", store->dim(), " floats, the net's embeddings ", embedding_dim));
    }
    PROTOPAGE_RETURN_IF_ERROR(CheckNewNames(*store, source, names));
    const int64_t classes = store->num_classes() + source.num_classes();
    const int64_t capacity = store->spec().capacity;
    // Some room more: it takes no space, and a copy takes time.
    const int64_t room = classes > capacity ? std::max(classes, capacity + capacity / 4) : capacity;
    PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Reserve(path, room, fs, longest));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenOwnStore(fs, path, /*read_only=*/false));
  // Others may have changed it since.
  PROTOPAGE_RETURN_IF_ERROR(CheckNewNames(*store, source, names));
  const ClassId first = store->num_classes();
  PROTOPAGE_RETURN_IF_ERROR(AppendImprinted(embedder, source, options, *store).status());
  PROTOPAGE_RETURN_IF_ERROR(store->WriteAppendedNames(names));
  PROTOPAGE_RETURN_IF_ERROR(store->AddAppended());
  std::vector<AddedClass> added(names.size());
  for (size_t i = 0; i < added.size(); ++i) {
    added[i].id = first + static_cast<int64_t>(i);
    added[i].name = std::move(names[i]);
  }
  for (int64_t record = 0; record < source.size(); ++record) {
    const bool counts = options.domain < 0 || source.Domain(record) == options.domain;
    added[source.Label(record)].images += counts ? 1 : 0;
  }
  return added;
}

absl::StatusOr<StoreClassCounts> DropClasses(FileSystem* fs, const std::string& path,
                                             const std::vector<ClassId>& ids) {
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenOwnStore(fs, path, /*read_only=*/true));
    PROTOPAGE_RETURN_IF_ERROR(CheckClasses(*store, ids));
    // A file of format version 1 cannot drop all of them at once.
    PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Reserve(path, store->spec().capacity, fs));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenOwnStore(fs, path, /*read_only=*/false));
  PROTOPAGE_RETURN_IF_ERROR(CheckClasses(*store, ids));
  PROTOPAGE_RETURN_IF_ERROR(store->Drop(ids));
  return CountsOf(*store);
}

absl::StatusOr<StoreClassCounts> MergeClasses(FileSystem* fs, const std::string& path, ClassId into,
                                              const std::vector<ClassId>& from) {
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenOwnStore(fs, path, /*read_only=*/true));
    PROTOPAGE_RETURN_IF_ERROR(CheckClasses(*store, {into}));
    PROTOPAGE_RETURN_IF_ERROR(CheckClasses(*store, from));
  }
  PROTOPAGE_RETURN_IF_ERROR(PrototypeStore::Merge(path, into, from, fs));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenStore(fs, path, /*read_only=*/true));
  return CountsOf(*store);
}

absl::StatusOr<std::vector<ClassId>> FindStoreClasses(FileSystem* fs, const std::string& path,
                                                      const std::vector<std::string>& names) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto store, OpenStore(fs, path, /*read_only=*/true));
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<ClassId> ids, store->FindClasses(names));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != kNoClass) continue;
    return absl::InvalidArgumentError(absl::StrCat("found ", ClassNames::Quoted(names[i]),
                                                   ", expected the name of a class of ", path));
  }
  return ids;
}

absl::StatusOr<std::vector<ClassId>> ParseClassIds(absl::string_view text) {
  std::vector<ClassId> ids;
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    ClassId id = 0;
    if (!absl::SimpleAtoi(word, &id)) {
      return absl::InvalidArgumentError(
          absl::StrCat("found \"", text, "\", expected ids of classes, as 3,7,12"));
    }
    ids.push_back(id);
  }
  return ids;
}

}  // namespace protopage
