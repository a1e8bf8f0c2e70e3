#include "product_library.hpp"

#include <octavo/plugin.hpp>

#include <fmt/format.h>

#include <dlfcn.h>

#include <filesystem>

namespace octavo::cpu {
namespace {

// <prefix>/lib/octavo/octavo_cpu_products.so, as seen from <prefix>/lib/octavo/plugins/backends/cpu.so.
std::filesystem::path library_path() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&product_library), &self) == 0 || self.dli_fname == nullptr)
    throw PluginError(OCTAVO_FAILED, "[cpu] the plugin's own path is not known");
  return std::filesystem::absolute(self.dli_fname).parent_path().parent_path().parent_path() /
         "octavo_cpu_products.so";
}

const ProductLibrary& open_library() {
  const std::filesystem::path path = library_path();
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* const symbol = library == nullptr ? nullptr : dlsym(library, OCTAVO_CPU_PRODUCTS_SYMBOL);
  if (symbol == nullptr) {
    const char* why = dlerror();
    throw PluginError(OCTAVO_FAILED,
                      fmt::format("[cpu] oneDNN's products cannot be opened: {}", why == nullptr ? "?" : why),
                      fmt::format("{} and libdnnl.so belong to the installation", path.string()));
  }
  return *reinterpret_cast<ProductLibraryFunction>(symbol)();
}

}  // namespace

const ProductLibrary& product_library() {
  static const ProductLibrary& library = open_library();
  return library;
}

}  // namespace octavo::cpu
