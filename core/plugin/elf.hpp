// Is a file a shared object that the loader can map? Looks at the file only.
//
// The loader maps what the program headers name without looking at the file's size: touching a page beyond
// the end of a truncated library is a SIGBUS that nothing can catch. So the extents are compared before.
#pragma once

#include <filesystem>

namespace octavo::plugin {

// Throws Error unsupported with the reason if `path` is not a complete ELF shared object of this machine's
// word size and byte order; Error io if it cannot be read. Header, program headers, segments, section headers
// and sections must lie within the file.
void check_elf(const std::filesystem::path& path);

}  // namespace octavo::plugin
