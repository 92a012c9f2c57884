// ForEachPointerIn: visits the pointers in an argument of a kernel: the argument itself, or the
// fields of a struct at any depth. The struct needs no declaration of its fields.
//
//   struct Map { float rate; const float* x; float* y; };
//   Map map = ...;
//   ForEachPointerIn(map, [&](const void* pointer) { ... });  // x, then y.
//
// A struct with pointers must be an aggregate of up to 12 fields, none of them an array. One that
// isn't does not compile or, if it has constructors, is not visited.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_POINTERS_IN_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_POINTERS_IN_H_

#include <cstddef>
#include <type_traits>
#include <utility>

namespace protopage {
namespace emulation {

// A stand-in for any initialiser. Used in unevaluated expressions only.
struct AnyField {
  template <typename T>
  constexpr operator T() const;
};
// Does not stand for a struct with fields: its fields are then initialised one by one, as if it had
// no braces.
template <bool kPointers>
struct AnyLeaf {
  template <typename T, typename = std::enable_if_t<(kPointers || !std::is_pointer_v<T>)&&!(
                            std::is_aggregate_v<T> && !std::is_empty_v<T>)>>
  constexpr operator T() const;
};

// The initialisers of all fields at any depth are in one pair of braces, and there may be fewer.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-braces"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
template <typename T, typename Any, size_t... I>
auto IsMadeOf(std::index_sequence<I...>)
    -> decltype(T{(static_cast<void>(I), Any())...}, std::true_type());
template <typename T, typename Any>
std::false_type IsMadeOf(...);
#pragma GCC diagnostic pop

// The largest number of initialisers, up to N, that a T takes.
template <typename T, typename Any, size_t N>
constexpr size_t CountOf() {
  if constexpr (N == 0 || decltype(IsMadeOf<T, Any>(std::make_index_sequence<N>()))::value) {
    return N;
  } else {
    return CountOf<T, Any, N - 1>();
  }
}

inline constexpr size_t kMaxFields = 12, kMaxLeaves = 64;

// If T holds a pointer, a list of initialisers that stand for no pointer ends before it.
template <typename T>
constexpr bool HasPointers() {
  constexpr size_t leaves = CountOf<T, AnyLeaf<true>, kMaxLeaves>();
  static_assert(leaves < kMaxLeaves);
  return CountOf<T, AnyLeaf<false>, leaves>() < leaves;
}

template <typename T, typename Visitor>
void ForEachPointerIn(const T& value, const Visitor& visit) {
  if constexpr (std::is_pointer_v<T>) {
    visit(static_cast<const void*>(value));
  } else if constexpr (std::is_aggregate_v<T>) {
    if constexpr (HasPointers<T>()) {
      constexpr size_t n = CountOf<T, AnyField, kMaxFields + 1>();
      static_assert(n <= kMaxFields, "more fields than are looked at here");
      const auto each = [&](const auto&... fields) { (ForEachPointerIn(fields, visit), ...); };
      if constexpr (n == 1) {
        const auto& [a] = value;
        each(a);
      } else if constexpr (n == 2) {
        const auto& [a, b] = value;
        each(a, b);
      } else if constexpr (n == 3) {
        const auto& [a, b, c] = value;
        each(a, b, c);
      } else if constexpr (n == 4) {
        const auto& [a, b, c, d] = value;
        each(a, b, c, d);
      } else if constexpr (n == 5) {
        const auto& [a, b, c, d, e] = value;
        each(a, b, c, d, e);
      } else if constexpr (n == 6) {
        const auto& [a, b, c, d, e, f] = value;
        each(a, b, c, d, e, f);
      } else if constexpr (n == 7) {
        const auto& [a, b, c, d, e, f, g] = value;
        each(a, b, c, d, e, f, g);
      } else if constexpr (n == 8) {
        const auto& [a, b, c, d, e, f, g, h] = value;
        each(a, b, c, d, e, f, g, h);
      } else if constexpr (n == 9) {
        const auto& [a, b, c, d, e, f, g, h, i] = value;
        each(a, b, c, d, e, f, g, h, i);
      } else if constexpr (n == 10) {
        const auto& [a, b, c, d, e, f, g, h, i, j] = value;
        each(a, b, c, d, e, f, g, h, i, j);
      } else if constexpr (n == 11) {
        const auto& [a, b, c, d, e, f, g, h, i, j, k] = value;
        each(a, b, c, d, e, f, g, h, i, j, k);
      } else {
        const auto& [a, b, c, d, e, f, g, h, i, j, k, l] = value;
        each(a, b, c, d, e, f, g, h, i, j, k, l);
      }
    }
  }
}

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_POINTERS_IN_H_
