// Config fields: every option is declared once, and that declaration serves JSON reading, printing,
// validation and --help.
//
//   struct LossConfig {
//     std::string name = "am_softmax";
//     double scale = 24;
//     void Fields(ConfigVisitor& v) {
//       v.Text("name", &name, {.help = "margin loss", .choices = {"am_softmax", "arcface"}});
//       v.Number("scale", &scale, {.help = "logit scale s", .min = 0, .max = 1000});
//     }
//   };
//
//   LossConfig config;
//   PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "loss", config));  // Errors name loss.scale.
//   const nlohmann::ordered_json resolved = WriteConfig(config);
//   const std::string help = ConfigHelp(config);
//
// The value that a field has before it is read is its default.
#ifndef PROTOPAGE_BASE_CONFIG_FIELDS_H_
#define PROTOPAGE_BASE_CONFIG_FIELDS_H_

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/json_text.h"  // IWYU pragma: export

namespace protopage {

// The meaning of a field and the values it takes.
struct FieldSpec {
  std::string help = {};
  // Inclusive bounds, for numbers.
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  // For texts: when not empty, the only values allowed.
  std::vector<std::string> choices = {};
  // For texts: a file or folder of the user's, see ForEachPath.
  bool is_path = false;
  // May change between a run and its --resume (threads, logging, checkpoints).
  bool safe_to_change = false;
};

class ConfigVisitor {
 public:
  virtual ~ConfigVisitor() = default;
  virtual void Flag(absl::string_view name, bool* value, const FieldSpec& spec) = 0;
  virtual void Integer(absl::string_view name, int64_t* value, const FieldSpec& spec) = 0;
  virtual void Number(absl::string_view name, double* value, const FieldSpec& spec) = 0;
  virtual void Text(absl::string_view name, std::string* value, const FieldSpec& spec) = 0;
  virtual void TextList(absl::string_view name, std::vector<std::string>* value,
                        const FieldSpec& spec) = 0;
  virtual void NumberList(absl::string_view name, std::vector<double>* value,
                          const FieldSpec& spec) = 0;

  // A nested object.
  template <typename T>
  void Object(absl::string_view name, T* value, const std::string& help) {
    ObjectFields(name, help, [value](ConfigVisitor& v) { value->Fields(v); });
  }
  // A list of objects. T() is an element's default.
  template <typename T>
  void ObjectList(absl::string_view name, std::vector<T>* value, const std::string& help) {
    ObjectListFields(
        name, help, value->size(), [value](size_t size) { value->assign(size, T()); },
        [value](size_t i, ConfigVisitor& v) {
          if (i < value->size()) {
            (*value)[i].Fields(v);
          } else {
            T().Fields(v);  // For help: the fields of an element when there is none.
          }
        });
  }

 protected:
  virtual void ObjectFields(absl::string_view name, const std::string& help,
                            absl::FunctionRef<void(ConfigVisitor&)> fields) = 0;
  virtual void ObjectListFields(absl::string_view name, const std::string& help, size_t size,
                                absl::FunctionRef<void(size_t)> resize,
                                absl::FunctionRef<void(size_t, ConfigVisitor&)> fields) = 0;
};

using FieldsFunction = absl::FunctionRef<void(ConfigVisitor&)>;

// Reads the keys present in `json`. `path` goes before names in errors ("stages[0].steps"). Errors:
// InvalidArgument with the key, the value found and the values allowed; for an unknown key, the
// nearest known one is suggested. On error the fields hold any mixture of old and new values.
absl::Status ReadConfigFields(const nlohmann::json& json, absl::string_view path,
                              FieldsFunction fields);
nlohmann::ordered_json WriteConfigFields(FieldsFunction fields);
// A paragraph per field: dotted name, type, default, range, help.
std::string ConfigFieldsHelp(FieldsFunction fields);
// A field whose value differs, with both values as JSON; "" where there is no such field, because
// it belongs to an element of a list that the other side does not have.
struct FieldDifference {
  std::string name;  // Dotted.
  std::string before, after;
};
// The fields that are not safe to change and whose values differ. Both sides must have the same
// fields, but for the lengths of lists.
std::vector<FieldDifference> UnsafeDifferences(FieldsFunction before, FieldsFunction after);
// Calls `change` for each text that is a path, for example to resolve relative ones.
void ForEachFieldPath(FieldsFunction fields, absl::FunctionRef<void(std::string&)> change);

template <typename T>
absl::Status ReadConfig(const nlohmann::json& json, absl::string_view path, T& config) {
  return ReadConfigFields(json, path, [&config](ConfigVisitor& v) { config.Fields(v); });
}
template <typename T>
nlohmann::ordered_json WriteConfig(T& config) {
  return WriteConfigFields([&config](ConfigVisitor& v) { config.Fields(v); });
}
template <typename T>
std::string ConfigHelp(T& config) {
  return ConfigFieldsHelp([&config](ConfigVisitor& v) { config.Fields(v); });
}
template <typename T>
void ForEachPath(T& config, absl::FunctionRef<void(std::string&)> change) {
  ForEachFieldPath([&config](ConfigVisitor& v) { config.Fields(v); }, change);
}

}  // namespace protopage

#endif  // PROTOPAGE_BASE_CONFIG_FIELDS_H_
