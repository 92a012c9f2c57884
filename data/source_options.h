// SourceOptions: the options of all source types in one config, a struct of each C++ type.
//
//   SourceOptions options;
//   options.Mutable<SyntheticConfig>().target_classes = 5;
//   const int64_t classes = options.Get<SyntheticConfig>().target_classes;
//
// So the config holds the options of a new type without knowing it. Copies are deep.
#ifndef PROTOPAGE_DATA_SOURCE_OPTIONS_H_
#define PROTOPAGE_DATA_SOURCE_OPTIONS_H_

#include <any>
#include <map>
#include <typeindex>

namespace protopage {

// Thread-compatible: const methods may be called concurrently.
class SourceOptions {
 public:
  // The struct of type T, equal to T() until Mutable<T>() is called.
  template <typename T>
  const T& Get() const {
    static const T* const defaults = new T();
    const auto found = structs_.find(typeid(T));
    return found == structs_.end() ? *defaults : *std::any_cast<T>(&found->second);
  }

  template <typename T>
  T& Mutable() {
    std::any& value = structs_[typeid(T)];
    if (!value.has_value()) value = T();
    return *std::any_cast<T>(&value);
  }

 private:
  std::map<std::type_index, std::any> structs_;
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SOURCE_OPTIONS_H_
