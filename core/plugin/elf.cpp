#include "plugin/elf.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

#include <elf.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <vector>

namespace octavo::plugin {
namespace {

static_assert(sizeof(void*) == 8, "octavo is a 64-bit program");

[[noreturn]] void refuse(const std::string& reason) { throw Error(ErrorCode::unsupported, reason); }

class ElfFile {
 public:
  explicit ElfFile(const std::filesystem::path& path) : stream_(path, std::ios::binary) {
    if (!stream_) throw Error(ErrorCode::io, "it cannot be opened for reading");
    stream_.seekg(0, std::ios::end);
    size_ = static_cast<std::uint64_t>(stream_.tellg());
  }

  std::uint64_t size() const { return size_; }

  // `count` entries of a table; refuses a table that does not lie within the file.
  template <typename Entry>
  std::vector<Entry> table(std::uint64_t offset, std::uint64_t count, std::uint64_t entry_size,
                           const char* what) {
    if (count == 0) return {};
    if (entry_size != sizeof(Entry))
      refuse(fmt::format("its {} have {} bytes each, {} were expected", what, entry_size, sizeof(Entry)));
    check_extent(offset, count * sizeof(Entry), what);
    std::vector<Entry> entries(count);
    stream_.seekg(static_cast<std::streamoff>(offset));
    stream_.read(reinterpret_cast<char*>(entries.data()),
                 static_cast<std::streamsize>(count * sizeof(Entry)));
    if (!stream_) throw Error(ErrorCode::io, fmt::format("its {} cannot be read", what));
    return entries;
  }

  void check_extent(std::uint64_t offset, std::uint64_t bytes, const char* what) const {
    if (offset <= size_ && bytes <= size_ - offset) return;
    refuse(fmt::format("it is truncated: its {} end at byte {}, the file has {} bytes", what, offset + bytes,
                       size_));
  }

 private:
  std::ifstream stream_;
  std::uint64_t size_ = 0;
};

Elf64_Ehdr read_header(ElfFile& file) {
  if (file.size() == 0) refuse("it is empty (0 bytes)");
  if (file.size() < SELFMAG)
    refuse(fmt::format("it is not a shared library (ELF): it has {} bytes", file.size()));
  const auto magic = file.table<char>(0, SELFMAG, 1, "first bytes");
  if (std::memcmp(magic.data(), ELFMAG, SELFMAG) != 0) {
    refuse(fmt::format("it is not a shared library (ELF): it begins with '{}'",
                       printable({magic.data(), magic.size()})));
  }
  const Elf64_Ehdr header = file.table<Elf64_Ehdr>(0, 1, sizeof(Elf64_Ehdr), "ELF header")[0];
  constexpr unsigned char kOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != kOrder)
    refuse("it is an ELF file of another word size or byte order");
  if (header.e_type != ET_DYN)
    refuse(fmt::format("it is an ELF file of type {}, not a shared library", header.e_type));
  return header;
}

}  // namespace

void check_elf(const std::filesystem::path& path) {
  ElfFile file(path);
  const Elf64_Ehdr header = read_header(file);
  if (header.e_phnum == 0) refuse("it has no program headers: nothing can be loaded from it");
  for (const auto& segment :
       file.table<Elf64_Phdr>(header.e_phoff, header.e_phnum, header.e_phentsize, "program headers")) {
    if (segment.p_type != PT_NULL) file.check_extent(segment.p_offset, segment.p_filesz, "segments");
  }
  if (header.e_shoff == 0) return;
  for (const auto& section :
       file.table<Elf64_Shdr>(header.e_shoff, header.e_shnum, header.e_shentsize, "section headers")) {
    if (section.sh_type != SHT_NULL && section.sh_type != SHT_NOBITS)
      file.check_extent(section.sh_offset, section.sh_size, "sections");
  }
}

}  // namespace octavo::plugin
