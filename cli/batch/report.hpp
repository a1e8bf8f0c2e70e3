// What a batch says at its end: "octavo.batch/1", or a table.
#pragma once

#include "batch/item.hpp"
#include "terminal.hpp"

#include <vector>

namespace octavo::cli {

void print_batch_json(const std::vector<BatchItem>& items, Terminal& terminal);
void print_batch_table(const std::vector<BatchItem>& items, Terminal& terminal);

}  // namespace octavo::cli
