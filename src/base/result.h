// The one Result alias of the project. Errors are small values (enums, or an operation with an
// errno); text is made where a human reads it.
#pragma once

#include <tl/expected.hpp>

namespace fg {

template <class T, class E>
using Result = tl::expected<T, E>;

template <class E>
[[nodiscard]] auto fail(E&& error) {
  return tl::unexpected<std::decay_t<E>>(std::forward<E>(error));
}

}  // namespace fg
