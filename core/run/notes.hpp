// Notes for a person, several in one text.
#pragma once

#include <string>
#include <string_view>

namespace octavo::run {

// "one; another"; what is empty adds nothing.
inline void add_note(std::string& notes, std::string_view note) {
  if (!notes.empty() && !note.empty()) notes += "; ";
  notes += note;
}

}  // namespace octavo::run
