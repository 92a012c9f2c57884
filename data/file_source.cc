#include "protopage/data/file_source.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/check_images.h"

namespace protopage {
namespace {

// The largest list: some 1e8 paths. A bound for pipes that never end.
constexpr int64_t kMaxListBytes = int64_t{16} << 30;

// Many strings in two allocations: tens of millions of paths must fit into memory.
class StringPool {
 public:
  void Add(absl::string_view text) {
    text_.append(text.data(), text.size());
    end_.push_back(text_.size());
  }
  int64_t size() const { return static_cast<int64_t>(end_.size()); }
  absl::string_view operator[](int64_t i) const {
    const size_t begin = i == 0 ? 0 : end_[i - 1];
    return absl::string_view(text_).substr(begin, end_[i] - begin);
  }

 private:
  std::string text_;
  std::vector<uint64_t> end_;
};

// What stands in the way of an image.
enum class LeftOutKind { kOtherFile, kHidden, kNoPlainFile, kLoop, kDangling };
constexpr const char* kLeftOutNames[][2] = {
    {"other file", "other files"},
    {"name that begins with a dot", "names that begin with a dot"},
    {"that is no plain file", "that are no plain files"},
    {"link to a folder above it", "links to folders above them"},
    {"link to nothing", "links to nothing"},
};

// Counts what is left out.
class LeftOutCounts {
 public:
  void Add(LeftOutKind kind, const std::string& name) {
    Count& count = counts_[static_cast<int>(kind)];
    if (count.number++ == 0) count.first = name;
  }
  // Without hidden names, which nobody expects to count.
  int64_t files() const {
    int64_t files = 0;
    for (const Count& count : counts_) files += count.number;
    return files - counts_[static_cast<int>(LeftOutKind::kHidden)].number;
  }
  // "2 other files (first a/notes.txt), 1 that is no plain file (a/x.png)"
  std::string ToString() const {
    std::vector<std::string> parts;
    for (int i = 0; i < kKinds; ++i) {
      const Count& count = counts_[i];
      if (count.number == 0) continue;
      parts.push_back(absl::StrCat(count.number, " ", kLeftOutNames[i][count.number > 1], " (",
                                   count.number > 1 ? "first " : "", count.first, ")"));
    }
    return absl::StrJoin(parts, ", ");
  }

 private:
  struct Count {
    int64_t number = 0;
    std::string first;
  };
  static constexpr int kKinds = sizeof(kLeftOutNames) / sizeof(kLeftOutNames[0]);
  Count counts_[kKinds];
};

class FileSource : public ImageSource {
 public:
  // Paths are relative to `root`; `name` is the path that the user gave.
  FileSource(FileSystem* fs, std::string root, std::string name, const FileSourceOptions& options)
      : fs_(fs), root_(std::move(root)), name_(std::move(name)), decode_(options.decode) {}

  int64_t size() const override { return paths_.size(); }
  int64_t num_classes() const override { return num_classes_; }
  ClassId Label(int64_t record) const override { return labels_.empty() ? 0 : labels_[record]; }
  int Domain(int64_t record) const override { return domains_.empty() ? 0 : domains_[record]; }
  const std::vector<std::string>& domain_names() const override { return domain_names_; }
  std::string ClassName(ClassId label) const override {
    return label < class_names_.size() ? std::string(class_names_[label]) : absl::StrCat(label);
  }
  bool numbered_classes() const override { return class_names_.size() == 0; }
  std::string RecordName(int64_t record) const override {
    const absl::string_view path = paths_[record];
    return absl::StartsWith(path, "/") ? std::string(path) : JoinPath(root_, path);
  }
  absl::Status Read(int64_t record, Image* image) const override {
    const std::string path = RecordName(record);
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(fs_, path));
    return DecodeImage(bytes, path, decode_, image);
  }
  std::string Description() const override {
    return absl::StrCat(name_, ": ", size(), size() == 1 ? " image of " : " images of ",
                        num_classes_, num_classes_ == 1 ? " class" : " classes",
                        left_out_.files() > 0
                            ? absl::StrCat(", ", left_out_.files(), " other files left out")
                            : "");
  }
  bool has_files() const override { return true; }
  absl::Status Check(int64_t record) const override {
    return CheckImageFile(fs_, RecordName(record), decode_);
  }
  std::string LeftOut() const override {
    const std::string left_out = left_out_.ToString();
    return left_out.empty() ? "" : absl::StrCat(name_, ": left out ", left_out);
  }

  // Makes the labels names, and numbers the classes that have some.
  void NameByLabels() {
    std::vector<uint32_t> distinct = labels_;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    for (uint32_t& label : labels_) {
      label = static_cast<uint32_t>(std::lower_bound(distinct.begin(), distinct.end(), label) -
                                    distinct.begin());
    }
    for (const uint32_t label : distinct) class_names_.Add(absl::StrCat(label));
  }

  FileSystem* const fs_;
  const std::string root_;
  const std::string name_;
  const DecodeOptions decode_;
  StringPool paths_;  // Relative to root_, or absolute.
  std::vector<uint32_t> labels_;
  std::vector<uint8_t> domains_;
  int64_t num_classes_ = 1;
  StringPool class_names_;
  std::vector<std::string> domain_names_ = {"image"};
  LeftOutCounts left_out_;
};

// The label of each class name of `source`.
absl::flat_hash_map<std::string, ClassId> LabelsByName(const ImageSource& source) {
  absl::flat_hash_map<std::string, ClassId> labels;
  for (ClassId c = 0; c < source.num_classes(); ++c) labels[source.ClassName(c)] = c;
  return labels;
}

absl::Status LinkToNothing(const std::string& path) {
  return absl::NotFoundError(absl::StrCat(path, ": a link to something that is not there"));
}

// Adds root/relative, a file whose name is an image's, if it is a plain file. Errors: a link to
// nothing, which would leave out an image that the user counts on.
absl::Status AddImage(FileSystem* fs, const std::string& relative, FileSource* source) {
  const std::string path = JoinPath(source->root_, relative);
  const absl::StatusOr<PathInfo> info = fs->Info(path);
  if (absl::IsNotFound(info.status())) return LinkToNothing(path);
  PROTOPAGE_RETURN_IF_ERROR(info.status());
  if (info->kind == PathInfo::Kind::kFile) {
    source->paths_.Add(relative);
  } else {
    source->left_out_.Add(LeftOutKind::kNoPlainFile, relative);
  }
  return absl::OkStatus();
}

// Adds the images below root/relative, at any depth. `above`: the folders from the root to there.
absl::Status AddFilesBelow(FileSystem* fs, const std::string& relative,
                           std::vector<PathInfo>* above, FileSource* source) {
  const std::string folder = relative.empty() ? source->root_ : JoinPath(source->root_, relative);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(folder));
  for (const std::string& name : names) {
    const std::string path = relative.empty() ? name : JoinPath(relative, name);
    if (absl::StartsWith(name, ".")) {
      source->left_out_.Add(LeftOutKind::kHidden, path);
      continue;
    }
    const absl::StatusOr<PathInfo> info = fs->Info(JoinPath(source->root_, path));
    if (info.ok() && info->kind == PathInfo::Kind::kDirectory) {
      const bool is_above = std::any_of(above->begin(), above->end(), [&](const PathInfo& other) {
        return info->inode != 0 && info->inode == other.inode && info->device == other.device;
      });
      if (is_above) {
        source->left_out_.Add(LeftOutKind::kLoop, path);
        continue;
      }
      above->push_back(*info);
      PROTOPAGE_RETURN_IF_ERROR(AddFilesBelow(fs, path, above, source));
      above->pop_back();
    } else if (HasImageExtension(name)) {
      PROTOPAGE_RETURN_IF_ERROR(AddImage(fs, path, source));
    } else {
      source->left_out_.Add(info.ok() ? LeftOutKind::kOtherFile : LeftOutKind::kDangling, path);
    }
  }
  return absl::OkStatus();
}

// A file named by the user that is read more than once, so no pipe.
absl::Status CheckPlain(FileSystem* fs, const std::string& path, absl::string_view expected) {
  PROTOPAGE_ASSIGN_OR_RETURN(const PathInfo info, fs->Info(path));
  if (info.kind != PathInfo::Kind::kOther) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": a pipe, a socket or a device; expected ", expected));
}

// `text` for a message, in one line of moderate length.
std::string Shortened(absl::string_view text) {
  constexpr size_t kLongest = 80;
  std::string shown(text.substr(0, kLongest));
  for (char& c : shown) {
    if (absl::ascii_iscntrl(c)) c = '?';
  }
  return absl::StrCat("\"", shown, "\"", text.size() > kLongest ? "..." : "");
}

// Tables have a row per class, so one mistyped label would make them huge. A list may leave classes
// without images, but not 99 of 100.
constexpr int64_t kMaxClassesPerImage = 100;

// PATH_MAX of Linux, without the zero at the end.
constexpr size_t kLongestPath = 4095;

// Fills the source from the lines of a list. Without `labels_needed` a line may be only a path.
absl::Status ReadList(const std::string& path, absl::string_view text, bool labels_needed,
                      const ImageSource* classes_of, bool labels_are_names, FileSource* source) {
  std::vector<uint32_t> domain_of;  // Positions in domain_list.
  std::vector<std::string> domain_list;
  int64_t line_number = 0;
  int64_t largest = -1, largest_line = 0;
  const int64_t limit = classes_of != nullptr ? classes_of->num_classes()
                                              : int64_t{std::numeric_limits<uint32_t>::max()};
  // As some editors put it in front of UTF-8.
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  // The file may be an image or an archive, not a list.
  const auto control = std::find_if(text.begin(), text.end(), [](unsigned char c) {
    return c < ' ' && c != '\t' && c != '\n' && c != '\r';
  });
  if (control != text.end()) {
    return absl::DataLossError(absl::StrCat(path, ":", 1 + std::count(text.begin(), control, '\n'),
                                            ": not text; a list has lines of path<TAB>label"));
  }
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    if (absl::StrContains(line, '\r')) {
      return absl::DataLossError(absl::StrCat(
          path, ":", line_number, ": a carriage return in the line; lines end with LF or CR LF"));
    }
    const std::vector<absl::string_view> fields = absl::StrSplit(line, '\t');
    auto error = [&](absl::string_view what) {
      return absl::DataLossError(absl::StrCat(path, ":", line_number, ": ", what));
    };
    const size_t least = labels_needed ? 2 : 1;
    if (fields.size() < least || fields.size() > 3) {
      return error(absl::StrCat("found ", fields.size(),
                                " tab-separated field(s); a line is path<TAB>label or "
                                "path<TAB>label<TAB>domain"));
    }
    if (fields[0].empty()) return error("the path is empty");
    if (fields[0].size() > kLongestPath) {
      return error(absl::StrCat("the path ", Shortened(fields[0]), " has ", fields[0].size(),
                                " bytes, expected at most ", kLongestPath));
    }
    int64_t label = 0;
    if (fields.size() >= 2 && labels_needed) {
      if (!absl::SimpleAtoi(fields[1], &label)) {
        return error(absl::StrCat("label ", Shortened(fields[1]), " is not an integer"));
      }
      if (label < 0 || label >= limit) {
        return error(absl::StrCat("label ", label, " is outside [0, ", limit, ")"));
      }
      source->labels_.push_back(static_cast<uint32_t>(label));
      if (label > largest) {
        largest = label;
        largest_line = line_number;
      }
    }
    if (labels_needed && (fields.size() == 3) != (domain_of.size() > 0) &&
        source->paths_.size() > 0) {
      return error("all lines must have a domain, or none");
    }
    if (labels_needed && fields.size() == 3) {
      if (fields[2].empty()) return error("the domain is empty");
      auto it = std::find(domain_list.begin(), domain_list.end(), fields[2]);
      if (it == domain_list.end()) {
        if (domain_list.size() == 255) return error("more than 255 domains");
        it = domain_list.insert(it, std::string(fields[2]));
      }
      domain_of.push_back(static_cast<uint32_t>(it - domain_list.begin()));
    }
    source->paths_.Add(fields[0]);
  }
  if (source->size() == 0) return absl::NotFoundError(absl::StrCat(path, ": no image is listed"));
  if (!labels_needed) return absl::OkStatus();
  if (labels_are_names) {
    source->NameByLabels();
  } else if (classes_of == nullptr && largest >= kMaxClassesPerImage * source->size()) {
    return absl::DataLossError(absl::StrCat(path, ":", largest_line, ": label ", largest,
                                            " is too large for ", source->size(),
                                            " images: labels number the classes from 0 on"));
  }
  source->num_classes_ = classes_of != nullptr ? classes_of->num_classes()
                         : labels_are_names    ? source->class_names_.size()
                                               : largest + 1;
  if (domain_list.empty()) return absl::OkStatus();
  if (classes_of != nullptr) {
    source->domain_names_ = classes_of->domain_names();
    for (const std::string& name : domain_list) {
      if (FindDomain(*classes_of, name) < 0) {
        return absl::DataLossError(absl::StrCat(
            path, ": domain ", Shortened(name),
            " is none of the training list's: ", absl::StrJoin(source->domain_names_, ", ")));
      }
    }
  } else {
    source->domain_names_ = domain_list;
    std::sort(source->domain_names_.begin(), source->domain_names_.end());
  }
  for (uint32_t d : domain_of) {
    source->domains_.push_back(static_cast<uint8_t>(FindDomain(*source, domain_list[d])));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFolder(FileSystem* fs,
                                                             const std::string& path,
                                                             const FileSourceOptions& options) {
  if (!fs->IsDirectory(path)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": no such folder; it must hold a folder of images for each class"));
  }
  auto source = std::make_unique<FileSource>(fs, path, path, options);
  absl::flat_hash_map<std::string, ClassId> known;
  if (options.classes_of != nullptr) {
    known = LabelsByName(*options.classes_of);
    for (ClassId c = 0; c < options.classes_of->num_classes(); ++c) {
      source->class_names_.Add(options.classes_of->ClassName(c));
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(path));
  for (const std::string& name : names) {
    const std::string folder = JoinPath(path, name);
    if (absl::StartsWith(name, ".")) {
      source->left_out_.Add(LeftOutKind::kHidden, name);
      continue;
    }
    const absl::StatusOr<PathInfo> info = fs->Info(folder);
    // It may be a class, without which the others would have other numbers.
    if (absl::IsNotFound(info.status())) return LinkToNothing(folder);
    PROTOPAGE_RETURN_IF_ERROR(info.status());
    if (info->kind != PathInfo::Kind::kDirectory) {
      source->left_out_.Add(LeftOutKind::kOtherFile, name);
      continue;
    }
    ClassId label = source->class_names_.size();
    if (options.classes_of != nullptr) {
      const auto it = known.find(name);
      if (it == known.end()) {
        return absl::DataLossError(
            absl::StrCat(folder, ": the training folder has no class \"", name, "\""));
      }
      label = it->second;
    } else {
      source->class_names_.Add(name);
    }
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> files, fs->List(folder));
    const int64_t before = source->size();
    for (const std::string& file : files) {
      const std::string relative = JoinPath(name, file);
      if (absl::StartsWith(file, ".")) {
        source->left_out_.Add(LeftOutKind::kHidden, relative);
      } else if (!HasImageExtension(file)) {
        source->left_out_.Add(LeftOutKind::kOtherFile, relative);
      } else {
        PROTOPAGE_RETURN_IF_ERROR(AddImage(fs, relative, source.get()));
      }
    }
    source->labels_.resize(source->size(), static_cast<uint32_t>(label));
    if (source->size() == before && options.classes_of == nullptr) {
      return absl::NotFoundError(
          absl::StrCat(folder, ": no .jpg, .jpeg or .png file in this class"));
    }
  }
  if (source->size() == 0) {
    return absl::NotFoundError(
        absl::StrCat(path,
                     ": no image found; it must hold a folder of .jpg, .jpeg "
                     "or .png files for each class"));
  }
  source->num_classes_ = source->class_names_.size();
  return source;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageList(FileSystem* fs, const std::string& path,
                                                           const FileSourceOptions& options) {
  PROTOPAGE_RETURN_IF_ERROR(CheckPlain(fs, path, "a list file"));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFileOrPipe(fs, path, kMaxListBytes));
  auto source = std::make_unique<FileSource>(fs, DirectoryOf(path), path, options);
  PROTOPAGE_RETURN_IF_ERROR(ReadList(path, text, /*labels_needed=*/true, options.classes_of,
                                     options.labels_are_names, source.get()));
  return source;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFiles(FileSystem* fs, const std::string& path,
                                                            const FileSourceOptions& options) {
  if (fs->IsDirectory(path)) {
    auto source = std::make_unique<FileSource>(fs, path, path, options);
    PROTOPAGE_ASSIGN_OR_RETURN(const PathInfo root, fs->Info(path));
    std::vector<PathInfo> above = {root};
    PROTOPAGE_RETURN_IF_ERROR(AddFilesBelow(fs, "", &above, source.get()));
    if (source->size() == 0) {
      return absl::NotFoundError(absl::StrCat(path, ": no .jpg, .jpeg or .png file below it"));
    }
    return source;
  }
  auto source = std::make_unique<FileSource>(fs, DirectoryOf(path), path, options);
  if (fs->Exists(path)) {
    PROTOPAGE_RETURN_IF_ERROR(CheckPlain(fs, path, "an image, a folder or a list file"));
  }
  if (HasImageExtension(path)) {
    if (!fs->Exists(path)) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    source->paths_.Add(BaseName(path));
    return source;
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFileOrPipe(fs, path, kMaxListBytes));
  PROTOPAGE_RETURN_IF_ERROR(
      ReadList(path, text, /*labels_needed=*/false, nullptr, false, source.get()));
  return source;
}

}  // namespace protopage
