#include "run/run_shared.hpp"

#include <fmt/format.h>

#include <string>

namespace octavo::run {

void RunShared::say_once_that_tiles_are_smaller(plugin::Lane& lane, const Error& error) {
  if (tiles_are_smaller.exchange(true)) return;
  const octavo_host& host = *lane.raw().host;
  const std::string text = fmt::format("memory ran out ({}); smaller tiles go on", error.what());
  host.log(host.context, OCTAVO_LOG_WARNING, text.c_str());
}

}  // namespace octavo::run
