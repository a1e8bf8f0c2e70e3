// What a batch says at its end: "octavo.batch/1", or a table.
#pragma once

#include "batch/item.hpp"
#include "terminal.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

// `warnings`: what was said before the first conversion.
void print_batch_json(const std::vector<BatchItem>& items, const std::vector<std::string>& warnings,
                      Terminal& terminal);
void print_batch_table(const std::vector<BatchItem>& items, Terminal& terminal);

}  // namespace octavo::cli
