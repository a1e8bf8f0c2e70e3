// What the findings of `verify` mean, for people who want to know more than the message says.
#pragma once

#include <string>
#include <string_view>

namespace octavo::cli {

// A sentence or two about a finding's code: what it does to loaders and what helps. "" for a code that is not
// known, such as a third party's.
std::string explanation(std::string_view code);

}  // namespace octavo::cli
