// What an edit does to the JSON object of a marker: keys that go, and keys that are set.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace octavo::edit {

struct MarkerChange {
  std::vector<std::string> remove;                                // these go first
  nlohmann::ordered_json add = nlohmann::ordered_json::object();  // then these are set, in this order

  bool empty() const { return remove.empty() && add.empty(); }
};

// "a, b": the keys between the commas. Throws Error usage for an empty key.
std::vector<std::string> parse_keys(std::string_view text);

// `'key': value, ...`, or a JSON object. Of the first form: a value in quotes is a text; true and false in
// any case; a number with a point or an exponent is a float, another one an integer; everything else is a
// text. Throws Error usage with the place where it goes wrong.
nlohmann::ordered_json parse_pairs(std::string_view text);

// The object of a marker. Throws Error bad_input naming `where` for what is none, or nested deeper than
// markers are.
nlohmann::ordered_json parse_marker(std::string_view text, const std::string& where);

// A key that is there keeps its place and gets the value. A new one stands at the end, but for
// full_precision_matrix_mult, which stands where a conversion puts it: after format and group_size.
nlohmann::ordered_json changed(const nlohmann::ordered_json& marker, const MarkerChange& change);

}  // namespace octavo::edit
