#include "base/error.hpp"

#include <utility>

namespace octavo {

Error::Error(ErrorCode code, const std::string& what, std::string hint)
    : std::runtime_error(what), code_(code), hint_(std::move(hint)) {}

}  // namespace octavo
