#include "logging.hpp"

#include "base/error.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <mutex>

namespace octavo::cli {
namespace {

class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit TerminalSink(Terminal& terminal) : terminal_(terminal) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string text = without_controls({message.payload.data(), message.payload.size()});
    terminal_.status_line().message(prefix(message.level) + text + "\n");
  }
  void flush_() override {}

 private:
  std::string prefix(spdlog::level::level_enum level) const {
    if (level >= spdlog::level::err) return terminal_.error_styled(Style::red, "octavo: error:") + " ";
    if (level == spdlog::level::warn) return terminal_.error_styled(Style::yellow, "octavo: warning:") + " ";
    return "";
  }

  Terminal& terminal_;
};

spdlog::level::level_enum terminal_level(const Arguments& arguments) {
  if (arguments.count("quiet") >= 2) return spdlog::level::off;
  if (arguments.count("quiet") == 1) return spdlog::level::err;
  const std::string level = arguments.text("verbose").value_or("normal");
  if (level == "minimal") return spdlog::level::warn;
  if (level == "verbose") return spdlog::level::debug;
  return level == "debug" ? spdlog::level::trace : spdlog::level::info;
}

// The log is appended to what is there, which must not be a checkpoint: every one has a zero byte among its
// first eight.
void refuse_binary(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char begin[8] = {};
  file.read(begin, sizeof begin);
  if (std::find(begin, begin + file.gcount(), '\0') == begin + file.gcount()) return;
  throw Error(ErrorCode::usage, fmt::format("[log] {} is not a text file", printable(path)),
              "--log-file appends to a file; name a new one or an old log");
}

}  // namespace

void start_logging(Terminal& terminal) {
  auto logger = std::make_shared<spdlog::logger>("octavo", std::make_shared<TerminalSink>(terminal));
  logger->set_level(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void configure_logging(const Arguments& arguments, Terminal& terminal) {
  const auto level = terminal_level(arguments);
  const auto logger = spdlog::default_logger();
  logger->sinks().front()->set_level(level);
  logger->set_level(level);
  terminal.set_quiet(arguments.count("quiet") > 0);
  const auto file = arguments.text("log-file");
  if (!file) return;
  refuse_binary(*file);
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(*file);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    logger->sinks().push_back(std::move(sink));
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& error) {
    throw Error(ErrorCode::io, fmt::format("[log] {}", error.what()),
                "--log-file needs a file that can be written");
  }
}

std::string without_controls(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C1 controls are c2 80 .. c2 9f in UTF-8.
    const bool second_half = byte == 0xc2 && i + 1 < text.size() &&
                             static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                             static_cast<unsigned char>(text[i + 1]) < 0xa0;
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || second_half;
    result += control ? fmt::format("\\x{:02x}", byte) : std::string(1, text[i]);
  }
  return result;
}

}  // namespace octavo::cli
