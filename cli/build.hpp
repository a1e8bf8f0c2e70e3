// How this program was built: what a report of a problem should say.
#pragma once

#include <string>

namespace octavo::cli {

std::string compiler();  // "g++ 12.2.0"
std::string commit();    // of the sources, 40 digits; "" where they were no checkout

}  // namespace octavo::cli
