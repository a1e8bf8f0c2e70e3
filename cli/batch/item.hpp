// One input of a batch, and what became of it.
#pragma once

#include "conversion_run.hpp"
#include "lora/merge_plan.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

enum class BatchStatus { not_started, planned, converted, up_to_date, failed, stopped };

struct BatchFailure {
  int code = 0;
  std::string message;
  std::string hint;
};

struct BatchItem {
  std::filesystem::path input;
  std::filesystem::path output;
  std::vector<lora::WantedFile> loras;
  BatchStatus status = BatchStatus::not_started;
  std::optional<BatchFailure> failure = {};
  uint64_t bytes_in = 0;
  uint64_t file_bytes = 0;
  bool size_exact = true;
  std::optional<Total> quality = {};
  double seconds = 0;
};

// The highest exit code of all; a signal's is higher than any other.
int worst_code(const std::vector<BatchItem>& items);

}  // namespace octavo::cli
