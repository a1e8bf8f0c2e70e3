// Reasons that differ in their numbers only, as one: "on held-out inputs the error is 100.2 to 103.5 % of
// nearest's" for all layers of which that is said.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

class SimilarReasons {
 public:
  struct Number {
    double least = 0;
    double most = 0;
    std::string least_text;  // as it was written
    std::string most_text;
  };

  struct Group {
    std::vector<std::string> words;  // around the numbers: one more than these
    std::vector<Number> numbers;
    size_t count = 0;
    std::string first;  // the name that was added first

    std::string text() const;  // the reason, with ranges where its numbers differ
  };

  // A digit in a word ("int8") is no number.
  void add(std::string_view reason, const std::string& name);
  const std::vector<Group>& groups() const { return groups_; }  // in the order of their first names

 private:
  std::vector<Group> groups_;
};

}  // namespace octavo::cli
