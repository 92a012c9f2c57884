#include "protopage/base/config_fields.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "protopage/base/nearest_name.h"
#include "protopage/base/short_text.h"

namespace protopage {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

std::string Joined(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

std::string Range(const FieldSpec& spec) {
  const bool low = std::isfinite(spec.min), high = std::isfinite(spec.max);
  // With all digits of bounds as .9999999.
  if (low && high) return absl::StrFormat("from %.10g to %.10g", spec.min, spec.max);
  if (low) return absl::StrFormat("at least %.10g", spec.min);
  if (high) return absl::StrFormat("at most %.10g", spec.max);
  return "";
}

std::string Quoted(const std::vector<std::string>& words) {
  return absl::StrJoin(words, ", ", [](std::string* out, const std::string& word) {
    absl::StrAppend(out, "\"", word, "\"");
  });
}

// Reads from JSON; keeps the first error.
class ReadVisitor : public ConfigVisitor {
 public:
  ReadVisitor(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json_.is_object()) {
      status_ =
          absl::InvalidArgumentError(absl::StrCat(path_.empty() ? "the config" : path_, ": found ",
                                                  ShortText(json_.dump()), ", expected an object"));
    }
  }

  void Flag(absl::string_view name, bool* value, const FieldSpec&) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if (!found->is_boolean()) return Fail(name, *found, "true or false");
    *value = found->get<bool>();
  }

  void Integer(absl::string_view name, int64_t* value, const FieldSpec& spec) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    const std::string expected = absl::StrCat("an integer ", Range(spec));
    if (!found->is_number() ||
        (found->is_number_float() && found->get<double>() != std::floor(found->get<double>()))) {
      return Fail(name, *found, expected);
    }
    const double number = found->get<double>();
    if (number < spec.min || number > spec.max) return Fail(name, *found, expected);
    // 2^63 as a double; beyond it the conversion to int64_t is undefined.
    if (std::abs(number) >= 9223372036854775808.0) {
      return Fail(name, *found, absl::StrCat(expected, ", below 2^63"));
    }
    *value = found->is_number_float() ? static_cast<int64_t>(number) : found->get<int64_t>();
  }

  void Number(absl::string_view name, double* value, const FieldSpec& spec) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if (!ReadNumber(*found, spec, value)) Fail(name, *found, NumberExpected(spec));
  }

  void Text(absl::string_view name, std::string* value, const FieldSpec& spec) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if (!found->is_string()) return Fail(name, *found, "a string");
    std::string text = found->get<std::string>();
    if (!spec.choices.empty() &&
        std::find(spec.choices.begin(), spec.choices.end(), text) == spec.choices.end()) {
      return Fail(name, *found, absl::StrCat("one of ", Quoted(spec.choices)));
    }
    *value = std::move(text);
  }

  void TextList(absl::string_view name, std::vector<std::string>* value,
                const FieldSpec& spec) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    std::vector<std::string> texts;
    if (found->is_array()) {
      for (const Json& item : *found) {
        if (!item.is_string()) return Fail(name, *found, "a list of strings");
        texts.push_back(item.get<std::string>());
        if (!spec.choices.empty() && std::find(spec.choices.begin(), spec.choices.end(),
                                               texts.back()) == spec.choices.end()) {
          return Fail(name, item, absl::StrCat("one of ", Quoted(spec.choices)));
        }
      }
    } else {
      return Fail(name, *found, "a list of strings");
    }
    *value = std::move(texts);
  }

  void NumberList(absl::string_view name, std::vector<double>* value,
                  const FieldSpec& spec) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    const std::string expected = absl::StrCat("a list, each ", NumberExpected(spec));
    if (!found->is_array()) return Fail(name, *found, expected);
    std::vector<double> numbers;
    for (const Json& item : *found) {
      double number;
      if (!ReadNumber(item, spec, &number)) return Fail(name, *found, expected);
      numbers.push_back(number);
    }
    *value = std::move(numbers);
  }

  // The first error: a bad value, else an unknown key.
  absl::Status Finish() {
    if (!status_.ok()) return status_;
    for (const auto& item : json_.items()) {
      if (known_.count(item.key()) > 0) continue;
      const std::vector<std::string> names(known_.begin(), known_.end());
      const std::string near = NearestName(item.key(), names);
      return absl::InvalidArgumentError(
          absl::StrCat("unknown key ", ShortText(Joined(path_, item.key())),
                       near.empty() ? absl::StrCat("; known here: ", absl::StrJoin(names, ", "))
                                    : absl::StrCat("; did you mean ", Joined(path_, near), "?")));
    }
    return absl::OkStatus();
  }

 protected:
  void ObjectFields(absl::string_view name, const std::string&, FieldsFunction fields) override {
    const Json* found = Find(name);
    if (found != nullptr) Nested(*found, Joined(path_, name), fields);
  }

  void ObjectListFields(absl::string_view name, const std::string&, size_t,
                        absl::FunctionRef<void(size_t)> resize,
                        absl::FunctionRef<void(size_t, ConfigVisitor&)> fields) override {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if (!found->is_array()) return Fail(name, *found, "a list of objects");
    resize(found->size());
    for (size_t i = 0; i < found->size(); ++i) {
      Nested((*found)[i], absl::StrCat(Joined(path_, name), "[", i, "]"),
             [&fields, i](ConfigVisitor& v) { fields(i, v); });
    }
  }

 private:
  static std::string NumberExpected(const FieldSpec& spec) {
    return absl::StrCat("a number ", Range(spec));
  }

  static bool ReadNumber(const Json& json, const FieldSpec& spec, double* value) {
    if (!json.is_number()) return false;
    const double number = json.get<double>();
    if (!(number >= spec.min && number <= spec.max)) return false;
    *value = number;
    return true;
  }

  const Json* Find(absl::string_view name) {
    known_.insert(std::string(name));
    if (!status_.ok()) return nullptr;
    const auto it = json_.find(std::string(name));
    return it == json_.end() ? nullptr : &*it;
  }

  void Fail(absl::string_view name, const Json& found, absl::string_view expected) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(Joined(path_, name), ": found ",
                                                      ShortText(found.dump()), ", expected ",
                                                      absl::StripAsciiWhitespace(expected)));
  }

  void Nested(const Json& json, std::string path, FieldsFunction fields) {
    if (!status_.ok()) return;
    ReadVisitor reader(json, std::move(path));
    fields(reader);
    status_ = reader.Finish();
  }

  const Json& json_;
  const std::string path_;
  std::set<std::string> known_;
  absl::Status status_;
};

class WriteVisitor : public ConfigVisitor {
 public:
  void Flag(absl::string_view name, bool* value, const FieldSpec&) override { Set(name, *value); }
  void Integer(absl::string_view name, int64_t* value, const FieldSpec&) override {
    Set(name, *value);
  }
  void Number(absl::string_view name, double* value, const FieldSpec&) override {
    // Whole numbers are written as such: 24, not 24.0.
    if (*value == std::floor(*value) && std::abs(*value) < 1e15) {
      Set(name, static_cast<int64_t>(*value));
    } else {
      Set(name, *value);
    }
  }
  void Text(absl::string_view name, std::string* value, const FieldSpec&) override {
    Set(name, *value);
  }
  void TextList(absl::string_view name, std::vector<std::string>* value,
                const FieldSpec&) override {
    Set(name, *value);
  }
  void NumberList(absl::string_view name, std::vector<double>* value, const FieldSpec&) override {
    Set(name, *value);
  }

  OrderedJson Take() { return std::move(json_); }

 protected:
  void ObjectFields(absl::string_view name, const std::string&, FieldsFunction fields) override {
    Set(name, WriteConfigFields(fields));
  }
  void ObjectListFields(absl::string_view name, const std::string&, size_t size,
                        absl::FunctionRef<void(size_t)>,
                        absl::FunctionRef<void(size_t, ConfigVisitor&)> fields) override {
    OrderedJson list = OrderedJson::array();
    for (size_t i = 0; i < size; ++i) {
      list.push_back(WriteConfigFields([&fields, i](ConfigVisitor& v) { fields(i, v); }));
    }
    Set(name, std::move(list));
  }

 private:
  void Set(absl::string_view name, OrderedJson value) {
    json_[std::string(name)] = std::move(value);
  }

  OrderedJson json_ = OrderedJson::object();
};

class HelpVisitor : public ConfigVisitor {
 public:
  explicit HelpVisitor(std::string path) : path_(std::move(path)) {}

  void Flag(absl::string_view name, bool* value, const FieldSpec& spec) override {
    Add(name, "true|false", *value ? "true" : "false", spec);
  }
  void Integer(absl::string_view name, int64_t* value, const FieldSpec& spec) override {
    Add(name, absl::StrCat("integer ", Range(spec)), absl::StrCat(*value), spec);
  }
  void Number(absl::string_view name, double* value, const FieldSpec& spec) override {
    Add(name, absl::StrCat("number ", Range(spec)), absl::StrCat(*value), spec);
  }
  void Text(absl::string_view name, std::string* value, const FieldSpec& spec) override {
    Add(name, spec.choices.empty() ? "string" : absl::StrJoin(spec.choices, "|"),
        absl::StrCat("\"", *value, "\""), spec);
  }
  void TextList(absl::string_view name, std::vector<std::string>* value,
                const FieldSpec& spec) override {
    Add(name,
        spec.choices.empty() ? "list of strings"
                             : absl::StrCat("list of ", absl::StrJoin(spec.choices, "|")),
        absl::StrCat("[", Quoted(*value), "]"), spec);
  }
  void NumberList(absl::string_view name, std::vector<double>* value,
                  const FieldSpec& spec) override {
    Add(name, absl::StrCat("list of numbers ", Range(spec)),
        absl::StrCat("[", absl::StrJoin(*value, ", "), "]"), spec);
  }

  std::string Take() { return std::move(text_); }

 protected:
  void ObjectFields(absl::string_view name, const std::string& help,
                    FieldsFunction fields) override {
    Section(Joined(path_, name), help, fields);
  }
  void ObjectListFields(absl::string_view name, const std::string& help, size_t,
                        absl::FunctionRef<void(size_t)>,
                        absl::FunctionRef<void(size_t, ConfigVisitor&)> fields) override {
    // An element past the end shows the defaults of an element.
    Section(absl::StrCat(Joined(path_, name), "[i]"), help,
            [&fields](ConfigVisitor& v) { fields(std::numeric_limits<size_t>::max(), v); });
  }

 private:
  void Section(const std::string& path, const std::string& help, FieldsFunction fields) {
    absl::StrAppend(&text_, path, ": ", help, "\n");
    HelpVisitor nested(path);
    fields(nested);
    absl::StrAppend(&text_, nested.Take());
  }

  void Add(absl::string_view name, absl::string_view type, absl::string_view value,
           const FieldSpec& spec) {
    absl::StrAppend(&text_, "  ", Joined(path_, name), " (", absl::StripAsciiWhitespace(type),
                    "; default ", value, ")\n      ", spec.help,
                    spec.safe_to_change ? " May change on --resume." : "", "\n");
  }

  const std::string path_;
  std::string text_;
};

// Collects the values of the fields that must not differ on --resume, by dotted name.
class UnsafeValuesVisitor : public ConfigVisitor {
 public:
  UnsafeValuesVisitor(std::string path, std::vector<std::pair<std::string, std::string>>* values)
      : path_(std::move(path)), values_(values) {}

  void Flag(absl::string_view name, bool* value, const FieldSpec& spec) override {
    Add(name, *value, spec);
  }
  void Integer(absl::string_view name, int64_t* value, const FieldSpec& spec) override {
    Add(name, *value, spec);
  }
  void Number(absl::string_view name, double* value, const FieldSpec& spec) override {
    Add(name, *value, spec);
  }
  void Text(absl::string_view name, std::string* value, const FieldSpec& spec) override {
    Add(name, *value, spec);
  }
  void TextList(absl::string_view name, std::vector<std::string>* value,
                const FieldSpec& spec) override {
    Add(name, *value, spec);
  }
  void NumberList(absl::string_view name, std::vector<double>* value,
                  const FieldSpec& spec) override {
    Add(name, *value, spec);
  }

 protected:
  void ObjectFields(absl::string_view name, const std::string&, FieldsFunction fields) override {
    UnsafeValuesVisitor nested(Joined(path_, name), values_);
    fields(nested);
  }
  void ObjectListFields(absl::string_view name, const std::string&, size_t size,
                        absl::FunctionRef<void(size_t)>,
                        absl::FunctionRef<void(size_t, ConfigVisitor&)> fields) override {
    for (size_t i = 0; i < size; ++i) {
      UnsafeValuesVisitor nested(absl::StrCat(Joined(path_, name), "[", i, "]"), values_);
      fields(i, nested);
    }
  }

 private:
  void Add(absl::string_view name, const Json& value, const FieldSpec& spec) {
    if (!spec.safe_to_change) values_->emplace_back(Joined(path_, name), value.dump());
  }

  const std::string path_;
  std::vector<std::pair<std::string, std::string>>* values_;
};

// Passes the texts that are paths to a function.
class PathVisitor : public ConfigVisitor {
 public:
  explicit PathVisitor(absl::FunctionRef<void(std::string&)> change) : change_(change) {}

  void Flag(absl::string_view, bool*, const FieldSpec&) override {}
  void Integer(absl::string_view, int64_t*, const FieldSpec&) override {}
  void Number(absl::string_view, double*, const FieldSpec&) override {}
  void Text(absl::string_view, std::string* value, const FieldSpec& spec) override {
    if (spec.is_path) change_(*value);
  }
  void TextList(absl::string_view, std::vector<std::string>*, const FieldSpec&) override {}
  void NumberList(absl::string_view, std::vector<double>*, const FieldSpec&) override {}

 protected:
  void ObjectFields(absl::string_view, const std::string&, FieldsFunction fields) override {
    fields(*this);
  }
  void ObjectListFields(absl::string_view, const std::string&, size_t size,
                        absl::FunctionRef<void(size_t)>,
                        absl::FunctionRef<void(size_t, ConfigVisitor&)> fields) override {
    for (size_t i = 0; i < size; ++i) fields(i, *this);
  }

 private:
  const absl::FunctionRef<void(std::string&)> change_;
};

}  // namespace

absl::Status ReadConfigFields(const nlohmann::json& json, absl::string_view path,
                              FieldsFunction fields) {
  ReadVisitor reader(json, std::string(path));
  fields(reader);
  return reader.Finish();
}

nlohmann::ordered_json WriteConfigFields(FieldsFunction fields) {
  WriteVisitor writer;
  fields(writer);
  return writer.Take();
}

std::string ConfigFieldsHelp(FieldsFunction fields) {
  HelpVisitor helper("");
  fields(helper);
  return helper.Take();
}

std::vector<FieldDifference> UnsafeDifferences(FieldsFunction before, FieldsFunction after) {
  std::vector<std::pair<std::string, std::string>> old_values, new_values;
  UnsafeValuesVisitor old_visitor("", &old_values), new_visitor("", &new_values);
  before(old_visitor);
  after(new_visitor);
  std::map<std::string, std::string> rest(new_values.begin(), new_values.end());
  std::vector<FieldDifference> differences;
  for (const auto& [name, value] : old_values) {
    const auto found = rest.find(name);
    const std::string now = found == rest.end() ? "" : found->second;
    if (now != value) differences.push_back({name, value, now});
    if (found != rest.end()) rest.erase(found);
  }
  for (const auto& [name, value] : new_values) {
    if (rest.count(name) > 0) differences.push_back({name, "", value});
  }
  return differences;
}

void ForEachFieldPath(FieldsFunction fields, absl::FunctionRef<void(std::string&)> change) {
  PathVisitor visitor(change);
  fields(visitor);
}

}  // namespace protopage
