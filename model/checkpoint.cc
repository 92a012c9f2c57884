#include "protopage/model/checkpoint.h"

#include <hdf5.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "protopage/base/hdf5.h"
#include "protopage/base/status_macros.h"
#include "xxhash.h"

namespace protopage {
namespace {

// The file begins with an HDF5 user block: one line of text, then zeros.
//   protopage-model <version> xxh3 <16 hexadecimal digits: XXH3-64 of all bytes behind the block>
constexpr size_t kUserBlockBytes = 512;  // The smallest that HDF5 takes.
constexpr char kMagic[] = "protopage-model ";
constexpr int kFormatVersion = 1;

hid_t MemoryType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return H5T_NATIVE_FLOAT;
    case DType::kInt32:
      return H5T_NATIVE_INT32;
    case DType::kUint8:
      return H5T_NATIVE_UINT8;
    case DType::kBfloat16:
    case DType::kFloat16:
      break;  // Only feature maps are, and they are no state.
  }
  return -1;
}

hid_t FileType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return H5T_IEEE_F32LE;
    case DType::kInt32:
      return H5T_STD_I32LE;
    case DType::kUint8:
      return H5T_STD_U8LE;
    case DType::kBfloat16:
    case DType::kFloat16:
      break;  // Only feature maps are, and they are no state.
  }
  return -1;
}

const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kInt32:
      return "int32";
    case DType::kUint8:
      return "uint8";
    case DType::kBfloat16:
      return "bfloat16";
    case DType::kFloat16:
      return "float16";
  }
  return "?";
}

// File access in memory, never touching the disk.
Hdf5Handle MemoryAccess() {
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access, size_t{1} << 20, /*backing_store=*/false);
  return access;
}

std::string UserBlock(absl::string_view content) {
  std::string block = absl::StrFormat("%s%d xxh3 %016x\n", kMagic, kFormatVersion,
                                      XXH3_64bits(content.data(), content.size()));
  block.resize(kUserBlockBytes, '\0');
  return block;
}

// --- Saving -------------------------------------------------------------------------------------

class Writer : public StateVisitor {
 public:
  Writer(std::string path, hid_t group, Backend* backend)
      : path_(std::move(path)), group_(group), backend_(backend) {}

  void Array(absl::string_view name, const Tensor& tensor) override {
    if (!status_.ok() || !Claim(name)) return;
    host_.resize(tensor.bytes());
    status_ = backend_->CopyToHost(tensor, host_.data());
    if (!status_.ok()) return;
    Hdf5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(links, 1);
    Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    // Equal states make equal files.
    H5Pset_obj_track_times(creation, false);
    const int rank = tensor.shape().rank();
    std::vector<hsize_t> dims(rank);
    for (int i = 0; i < rank; ++i) dims[i] = tensor.shape()[i];
    Hdf5Handle space(
        rank > 0 ? H5Screate_simple(rank, dims.data(), nullptr) : H5Screate(H5S_SCALAR), H5Sclose);
    Hdf5Handle dataset(H5Dcreate2(group_, std::string(name).c_str(), FileType(tensor.dtype()),
                                  space, links, creation, H5P_DEFAULT),
                       H5Dclose);
    if (!dataset.ok() ||
        (tensor.num_elements() > 0 && H5Dwrite(dataset, MemoryType(tensor.dtype()), H5S_ALL,
                                               H5S_ALL, H5P_DEFAULT, host_.data()) < 0)) {
      Fail(name);
    }
  }
  void Integer(absl::string_view name, int64_t* value) override {
    WriteAttribute(name, H5T_STD_I64LE, H5T_NATIVE_INT64, value);
  }
  void Number(absl::string_view name, double* value) override {
    WriteAttribute(name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, value);
  }
  const absl::Status& status() const { return status_; }

 private:
  bool Claim(absl::string_view name) {
    if (names_.insert(std::string(name)).second) return true;
    status_ =
        absl::AlreadyExistsError(absl::StrCat(path_, ": two pieces of state are named ", name));
    return false;
  }
  void WriteAttribute(absl::string_view name, hid_t file_type, hid_t memory_type,
                      const void* value) {
    if (!status_.ok() || !Claim(name)) return;
    Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    Hdf5Handle attribute(
        H5Acreate2(group_, std::string(name).c_str(), file_type, space, H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    if (!attribute.ok() || H5Awrite(attribute, memory_type, value) < 0) Fail(name);
  }
  void Fail(absl::string_view name) {
    status_ = absl::InternalError(
        absl::StrCat(path_, ": cannot make ", name, " in HDF5: ", LastHdf5Error()));
  }

  std::string path_;
  hid_t group_;
  Backend* backend_;
  std::set<std::string> names_;
  std::vector<char> host_;
  absl::Status status_;
};

// --- Loading ------------------------------------------------------------------------------------

// Reads a file, checks its checksum, and opens it in memory: HDF5 sees no damaged bytes.
absl::StatusOr<Hdf5Handle> OpenCheckpoint(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(std::string image, ReadFile(fs, path));
  const absl::string_view magic = kMagic;
  if (image.size() <= kUserBlockBytes || !absl::StartsWith(image, magic)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is not a model checkpoint: it does not begin with \"", magic, "<version>\""));
  }
  absl::string_view text = absl::string_view(image).substr(magic.size());
  int version = 0;
  if (!absl::SimpleAtoi(text.substr(0, text.find(' ')), &version) || version < 1) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: no format version"));
  }
  if (version > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has format version ", version, ", this program reads up to ", kFormatVersion));
  }
  const absl::string_view content = absl::string_view(image).substr(kUserBlockBytes);
  if (!absl::StartsWith(image, UserBlock(content))) {
    return absl::DataLossError(
        absl::StrCat(path, " is damaged or cut off: its checksum does not fit its content"));
  }
  Hdf5Handle access = MemoryAccess();
  // HDF5 copies the image.
  if (H5Pset_file_image(access, image.data(), image.size()) < 0) {
    return absl::InternalError(absl::StrCat(path, ": ", LastHdf5Error()));
  }
  Hdf5Handle file(H5Fopen("checkpoint in memory", H5F_ACC_RDONLY, access), H5Fclose);
  if (!file.ok()) return absl::DataLossError(absl::StrCat(path, ": ", LastHdf5Error()));
  return file;
}

enum class Kind { kArray, kInteger, kNumber };

// A piece of state in a file.
struct Stored {
  Kind kind = Kind::kArray;
  DType dtype = DType::kFloat32;
  Shape shape;

  std::string ToString() const {
    if (kind == Kind::kInteger) return "an integer";
    if (kind == Kind::kNumber) return "a number";
    return absl::StrCat(NameOf(dtype), " ", shape.ToString());
  }
};

bool operator==(const Stored& a, const Stored& b) {
  return a.kind == b.kind && (a.kind != Kind::kArray || (a.dtype == b.dtype && a.shape == b.shape));
}

// The contents of a section of a file, by name. Foreign objects are DataLoss.
absl::StatusOr<std::map<std::string, Stored>> ListSection(const std::string& path, hid_t group) {
  std::vector<std::string> names;
  const auto collect_link = [](hid_t, const char* name, const H5L_info_t*, void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->push_back(name);
    return 0;
  };
  if (H5Lvisit(group, H5_INDEX_NAME, H5_ITER_INC, collect_link, &names) < 0) {
    return absl::DataLossError(absl::StrCat(path, ": cannot list it: ", LastHdf5Error()));
  }
  std::map<std::string, Stored> result;
  for (const std::string& name : names) {
    Hdf5Handle object(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose);
    if (!object.ok()) {
      return absl::DataLossError(absl::StrCat(path, ": cannot open ", name, ": ", LastHdf5Error()));
    }
    if (H5Iget_type(object) == H5I_GROUP) continue;
    Stored stored;
    if (H5Iget_type(object) == H5I_DATASET) {
      Hdf5Handle type(H5Dget_type(object), H5Tclose);
      Hdf5Handle space(H5Dget_space(object), H5Sclose);
      bool known = false;
      for (const DType dtype : {DType::kFloat32, DType::kInt32, DType::kUint8}) {
        if (H5Tequal(type, FileType(dtype)) > 0) {
          stored.dtype = dtype;
          known = true;
        }
      }
      const int rank = H5Sget_simple_extent_ndims(space);
      if (known && rank >= 0) {
        std::vector<hsize_t> dims(rank);
        H5Sget_simple_extent_dims(space, dims.data(), nullptr);
        for (const hsize_t dim : dims) stored.shape.Append(static_cast<int64_t>(dim));
        result.emplace(name, stored);
        continue;
      }
    }
    return absl::DataLossError(
        absl::StrCat(path, ": ", name, " is no array of float32, int32 or uint8"));
  }
  std::vector<std::string> attributes;
  const auto collect_attribute = [](hid_t, const char* name, const H5A_info_t*,
                                    void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->push_back(name);
    return 0;
  };
  if (H5Aiterate2(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_attribute, &attributes) < 0) {
    return absl::DataLossError(absl::StrCat(path, ": cannot list attributes: ", LastHdf5Error()));
  }
  for (const std::string& name : attributes) {
    Hdf5Handle attribute(H5Aopen(group, name.c_str(), H5P_DEFAULT), H5Aclose);
    Hdf5Handle type(attribute.ok() ? H5Aget_type(attribute) : -1, H5Tclose);
    Stored stored;
    stored.kind = type.ok() && H5Tget_class(type) == H5T_INTEGER ? Kind::kInteger : Kind::kNumber;
    result.emplace(name, stored);
  }
  return result;
}

// Collects the names of the state here.
class Lister : public StateVisitor {
 public:
  void Array(absl::string_view name, const Tensor& tensor) override {
    pieces_.emplace_back(std::string(name), Stored{Kind::kArray, tensor.dtype(), tensor.shape()});
  }
  void Integer(absl::string_view name, int64_t*) override {
    pieces_.emplace_back(std::string(name), Stored{Kind::kInteger, {}, {}});
  }
  void Number(absl::string_view name, double*) override {
    pieces_.emplace_back(std::string(name), Stored{Kind::kNumber, {}, {}});
  }
  const std::vector<std::pair<std::string, Stored>>& pieces() const { return pieces_; }

 private:
  std::vector<std::pair<std::string, Stored>> pieces_;
};

// Reads the pieces that `wanted` names.
class Reader : public StateVisitor {
 public:
  Reader(std::string path, hid_t group, const std::set<std::string>* wanted, Backend* backend)
      : path_(std::move(path)), group_(group), wanted_(wanted), backend_(backend) {}

  void Array(absl::string_view name, const Tensor& tensor) override {
    if (!status_.ok() || wanted_->count(std::string(name)) == 0) return;
    host_.resize(tensor.bytes());
    Hdf5Handle dataset(H5Dopen2(group_, std::string(name).c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset.ok() ||
        (tensor.num_elements() > 0 && H5Dread(dataset, MemoryType(tensor.dtype()), H5S_ALL, H5S_ALL,
                                              H5P_DEFAULT, host_.data()) < 0)) {
      Fail(name);
      return;
    }
    status_ = backend_->CopyToDevice(host_.data(), tensor);
  }
  void Integer(absl::string_view name, int64_t* value) override {
    ReadAttribute(name, H5T_NATIVE_INT64, value);
  }
  void Number(absl::string_view name, double* value) override {
    ReadAttribute(name, H5T_NATIVE_DOUBLE, value);
  }
  const absl::Status& status() const { return status_; }

 private:
  void ReadAttribute(absl::string_view name, hid_t memory_type, void* value) {
    if (!status_.ok() || wanted_->count(std::string(name)) == 0) return;
    Hdf5Handle attribute(H5Aopen(group_, std::string(name).c_str(), H5P_DEFAULT), H5Aclose);
    if (!attribute.ok() || H5Aread(attribute, memory_type, value) < 0) Fail(name);
  }
  void Fail(absl::string_view name) {
    status_ =
        absl::DataLossError(absl::StrCat(path_, ": cannot read ", name, ": ", LastHdf5Error()));
  }

  std::string path_;
  hid_t group_;
  const std::set<std::string>* wanted_;
  Backend* backend_;
  std::vector<char> host_;
  absl::Status status_;
};

// The names of a section here against those in the file.
struct Match {
  std::set<std::string> fitting;
  std::vector<std::string> missing;               // Here only.
  std::vector<std::string> mismatching;           // Both, of another shape or type.
  std::vector<std::string> unexpected;            // In the file only.
  std::map<std::string, std::string> mismatches;  // Name to what differs.
};

Match MatchNames(const Lister& here, const std::map<std::string, Stored>& file) {
  Match match;
  std::set<std::string> names;
  for (const auto& [name, piece] : here.pieces()) {
    names.insert(name);
    const auto found = file.find(name);
    if (found == file.end()) {
      match.missing.push_back(name);
    } else if (!(found->second == piece)) {
      match.mismatching.push_back(name);
      match.mismatches[name] =
          absl::StrCat(name, " is ", found->second.ToString(), ", must be ", piece.ToString());
    } else {
      match.fitting.insert(name);
    }
  }
  for (const auto& [name, piece] : file) {
    if (names.count(name) == 0) match.unexpected.push_back(name);
  }
  return match;
}

// "a, b, c and 12 more".
std::string Enumerate(const std::vector<std::string>& names) {
  constexpr size_t kShown = 6;
  const size_t shown = std::min(names.size(), kShown);
  std::string text = absl::StrJoin(names.begin(), names.begin() + shown, ", ");
  if (shown < names.size()) absl::StrAppend(&text, " and ", names.size() - shown, " more");
  return text;
}

absl::Status MatchError(const std::string& path, const std::string& section, const Match& match,
                        bool exact) {
  std::vector<std::string> parts;
  if (!match.missing.empty()) {
    parts.push_back(absl::StrCat("missing: ", Enumerate(match.missing)));
  }
  if (!match.mismatching.empty()) {
    std::vector<std::string> texts;
    for (const std::string& name : match.mismatching) texts.push_back(match.mismatches.at(name));
    parts.push_back(absl::StrCat("other shape or type: ", Enumerate(texts)));
  }
  if (exact && !match.unexpected.empty()) {
    parts.push_back(absl::StrCat("not expected: ", Enumerate(match.unexpected)));
  }
  if (parts.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": section ", section, ": ", absl::StrJoin(parts, "; ")));
}

absl::StatusOr<Hdf5Handle> OpenSection(const std::string& path, hid_t file,
                                       const std::string& section) {
  if (H5Lexists(file, section.c_str(), H5P_DEFAULT) <= 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": section ", section, " is missing"));
  }
  Hdf5Handle group(H5Gopen2(file, section.c_str(), H5P_DEFAULT), H5Gclose);
  if (!group.ok()) {
    return absl::DataLossError(
        absl::StrCat(path, ": cannot open section ", section, ": ", LastHdf5Error()));
  }
  return group;
}

}  // namespace

absl::Status SaveCheckpoint(FileSystem* fs, const std::string& path,
                            const std::vector<CheckpointSection>& sections, Backend* backend) {
  const QuietHdf5Errors quiet;
  Hdf5Handle access = MemoryAccess();
  Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation, false);
  H5Pset_userblock(creation, kUserBlockBytes);
  Hdf5Handle file(H5Fcreate("checkpoint in memory", H5F_ACC_TRUNC, creation, access), H5Fclose);
  if (!file.ok()) return absl::InternalError(absl::StrCat(path, ": ", LastHdf5Error()));
  for (const CheckpointSection& section : sections) {
    if (H5Lexists(file, section.name.c_str(), H5P_DEFAULT) > 0) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": two sections are named ", section.name));
    }
    Hdf5Handle group(H5Gcreate2(file, section.name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                     H5Gclose);
    if (!group.ok()) return absl::InternalError(absl::StrCat(path, ": ", LastHdf5Error()));
    Writer writer(path, group, backend);
    section.state(writer);
    PROTOPAGE_RETURN_IF_ERROR(writer.status());
  }
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) {
    return absl::InternalError(absl::StrCat(path, ": ", LastHdf5Error()));
  }
  const ssize_t size = H5Fget_file_image(file, nullptr, 0);
  std::string image(std::max<ssize_t>(size, 0), '\0');
  if (size <= 0 || H5Fget_file_image(file, image.data(), image.size()) != size) {
    return absl::InternalError(absl::StrCat(path, ": ", LastHdf5Error()));
  }
  // The image follows the user block.
  return WriteFileAtomically(fs, path, absl::StrCat(UserBlock(image), image));
}

absl::Status LoadCheckpoint(FileSystem* fs, const std::string& path,
                            const std::vector<CheckpointSection>& sections, Backend* backend) {
  const QuietHdf5Errors quiet;
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Handle file, OpenCheckpoint(fs, path));
  // Everything is compared before anything is changed.
  std::vector<Hdf5Handle> groups;
  std::vector<std::set<std::string>> names;
  for (const CheckpointSection& section : sections) {
    PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Handle group, OpenSection(path, file, section.name));
    PROTOPAGE_ASSIGN_OR_RETURN(const auto stored, ListSection(path, group));
    Lister lister;
    section.state(lister);
    Match match = MatchNames(lister, stored);
    PROTOPAGE_RETURN_IF_ERROR(MatchError(path, section.name, match, /*exact=*/true));
    groups.push_back(std::move(group));
    names.push_back(std::move(match.fitting));
  }
  for (size_t i = 0; i < sections.size(); ++i) {
    Reader reader(path, groups[i], &names[i], backend);
    sections[i].state(reader);
    PROTOPAGE_RETURN_IF_ERROR(reader.status());
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadByNameResult> LoadByName(FileSystem* fs, const std::string& path,
                                            const CheckpointSection& section,
                                            const LoadByNameOptions& options, Backend* backend) {
  const QuietHdf5Errors quiet;
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Handle file, OpenCheckpoint(fs, path));
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Handle group, OpenSection(path, file, section.name));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto stored, ListSection(path, group));
  Lister lister;
  section.state(lister);
  Match match = MatchNames(lister, stored);

  LoadByNameResult result;
  const auto take_optional = [&](std::vector<std::string>& names) {
    const auto optional = [&](const std::string& name) {
      return std::any_of(options.optional_prefixes.begin(), options.optional_prefixes.end(),
                         [&](const std::string& prefix) { return absl::StartsWith(name, prefix); });
    };
    const auto middle = std::stable_partition(
        names.begin(), names.end(), [&](const std::string& name) { return !optional(name); });
    result.skipped.insert(result.skipped.end(), middle, names.end());
    names.erase(middle, names.end());
  };
  take_optional(match.missing);
  take_optional(match.mismatching);
  PROTOPAGE_RETURN_IF_ERROR(MatchError(path, section.name, match, /*exact=*/false));

  Reader reader(path, group, &match.fitting, backend);
  section.state(reader);
  PROTOPAGE_RETURN_IF_ERROR(reader.status());
  result.loaded.assign(match.fitting.begin(), match.fitting.end());
  result.unused = std::move(match.unexpected);
  return result;
}

}  // namespace protopage
