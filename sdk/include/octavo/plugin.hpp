// SPDX-License-Identifier: Apache-2.0
// What C++ authors of every kind of plugin share: errors, parameters, the host, and the guard at the
// boundary.
//
// A plugin derives from octavo::Format, Optimizer, Model or Backend and writes one macro. The trampolines
// behind the macro catch every exception and turn it into a status with a message, so that none crosses the
// boundary.
#pragma once

#include <octavo/abi/backend.h>
#include <octavo/abi/plugin.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace octavo {

// Thrown by plugins; what() becomes the message of octavo_error.
class PluginError : public std::runtime_error {
 public:
  explicit PluginError(octavo_status status, const std::string& what, std::string hint = {})
      : std::runtime_error(what), status_(status), hint_(std::move(hint)) {}
  octavo_status status() const { return status_; }
  const std::string& hint() const { return hint_; }

 private:
  octavo_status status_;
  std::string hint_;
};

// Copies text into a fixed array of the boundary, cut at its size and always terminated.
template <std::size_t Size>
void copy_text(std::string_view text, char (&target)[Size]) {
  const std::size_t length = text.size() < Size ? text.size() : Size - 1;
  std::memcpy(target, text.data(), length);
  target[length] = '\0';
}

// Throws a PluginError for a status that is not OCTAVO_OK, with the callee's text.
inline void check(octavo_status status, const octavo_error& error) {
  if (status != OCTAVO_OK) throw PluginError(status, error.message, error.hint);
}

inline octavo_error empty_error() {
  octavo_error error{};
  error.struct_size = sizeof error;
  return error;
}

// The values of a plugin's parameters, by the names it declared. A name that was not declared is a
// programming error and throws.
class Params {
 public:
  Params(const octavo_param_value* values, std::uint64_t count) : values_(values, count) {}

  bool flag(std::string_view name) const { return find(name, OCTAVO_PARAM_BOOL).integer != 0; }
  std::int64_t integer(std::string_view name) const { return find(name, OCTAVO_PARAM_INTEGER).integer; }
  double number(std::string_view name) const { return find(name, OCTAVO_PARAM_NUMBER).number; }
  std::string_view text(std::string_view name) const { return find(name, OCTAVO_PARAM_TEXT).text; }
  std::string_view choice(std::string_view name) const { return find(name, OCTAVO_PARAM_CHOICE).text; }

 private:
  const octavo_param_value& find(std::string_view name, octavo_param_type type) const {
    for (const octavo_param_value& value : values_) {
      if (value.name == name && value.type == static_cast<std::uint32_t>(type)) return value;
    }
    throw PluginError(OCTAVO_BAD_ARGUMENT,
                      "no parameter '" + std::string(name) + "' of this type was declared");
  }

  std::span<const octavo_param_value> values_;
};

// Declarations of parameters, to be listed in a static constexpr array.
constexpr octavo_param bool_param(const char* name, const char* default_value, const char* help) {
  return {name, OCTAVO_PARAM_BOOL, 0, default_value, 0, 1, "", help};
}
constexpr octavo_param integer_param(const char* name, const char* default_value, double minimum,
                                     double maximum, const char* help) {
  return {name, OCTAVO_PARAM_INTEGER, 0, default_value, minimum, maximum, "", help};
}
constexpr octavo_param number_param(const char* name, const char* default_value, double minimum,
                                    double maximum, const char* help) {
  return {name, OCTAVO_PARAM_NUMBER, 0, default_value, minimum, maximum, "", help};
}
constexpr octavo_param text_param(const char* name, const char* default_value, const char* help) {
  return {name, OCTAVO_PARAM_TEXT, 0, default_value, 0, 0, "", help};
}
constexpr octavo_param choice_param(const char* name, const char* default_value, const char* choices,
                                    const char* help) {
  return {name, OCTAVO_PARAM_CHOICE, 0, default_value, 0, 0, choices, help};
}

// The host's services as a plugin sees them. A value; copies refer to the same host.
class Host {
 public:
  explicit Host(const octavo_host* host) : host_(host) {}

  void log(octavo_log_level level, const std::string& message) const {
    host_->log(host_->context, level, message.c_str());
  }
  bool cancelled() const { return host_->cancelled(host_->context) != 0; }
  const octavo_operations& reference() const { return *host_->reference; }
  const octavo_host* raw() const { return host_; }

 private:
  const octavo_host* host_;
};

// Bytes that count against --max-ram as long as it lives.
class Lease {
 public:
  Lease() = default;
  // Waits until they fit. Throws PluginError OCTAVO_CANCELLED when the run stops. Of no host (a lane that a
  // test made): no limit.
  Lease(const Host& host, std::uint64_t bytes) : host_(host.raw()), bytes_(bytes) {
    if (host_ == nullptr) return;
    octavo_error error = empty_error();
    check(host_->lease_bytes(host_->context, bytes_, &error), error);
  }
  Lease(Lease&& other) noexcept
      : host_(std::exchange(other.host_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Lease& operator=(Lease&& other) noexcept {
    std::swap(host_, other.host_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Lease() {
    if (host_ != nullptr) host_->return_bytes(host_->context, bytes_);
  }

  // Gives part of them back early.
  void shrink_to(std::uint64_t bytes) {
    if (host_ == nullptr || bytes >= bytes_) return;
    host_->return_bytes(host_->context, bytes_ - bytes);
    bytes_ = bytes;
  }

 private:
  const octavo_host* host_ = nullptr;
  std::uint64_t bytes_ = 0;
};

namespace detail {

inline octavo_status report(octavo_error* error, octavo_status status, const char* what,
                            const char* hint) noexcept {
  if (error != nullptr && OCTAVO_HAS(error, octavo_error, hint)) {
    std::snprintf(error->message, sizeof error->message, "%s", what);
    std::snprintf(error->hint, sizeof error->hint, "%s", hint);
  }
  return status;
}

// Runs `body` and turns whatever it throws into a status and a message.
template <typename Body>
octavo_status guard(octavo_error* error, Body&& body) noexcept {
  try {
    body();
    return OCTAVO_OK;
  } catch (const PluginError& e) {
    return report(error, e.status(), e.what(), e.hint().c_str());
  } catch (const std::bad_alloc&) {
    return report(error, OCTAVO_NO_MEMORY, "out of memory", "");
  } catch (const std::exception& e) {
    return report(error, OCTAVO_FAILED, e.what(), "");
  } catch (...) {
    return report(error, OCTAVO_FAILED, "an exception that is not a std::exception", "");
  }
}

template <typename Plugin>
octavo_status create(const octavo_host* host, const octavo_param_value* values, std::uint64_t count,
                     void** self, octavo_error* error) noexcept {
  return guard(error, [&] { *self = new Plugin(Host(host), Params(values, count)); });
}

template <typename Plugin>
void destroy(void* self) noexcept {
  delete static_cast<Plugin*>(self);
}

}  // namespace detail

// What OCTAVO_FORMAT_PLUGIN and its siblings are told about a plugin.
struct Description {
  const char* id;
  const char* version;
  const char* summary;
  std::span<const octavo_param> params = {};
  std::uint32_t flags = 0;
  const char* links = "";
};

namespace detail {

constexpr octavo_plugin descriptor(octavo_kind kind, const Description& description, const void* api,
                                   octavo_status (*probe)(const octavo_host*, octavo_probe*,
                                                          octavo_error*) = nullptr) {
  return {sizeof(octavo_plugin),
          OCTAVO_ABI_MAJOR,
          OCTAVO_ABI_MINOR,
          kind,
          description.flags,
          description.id,
          description.version,
          description.summary,
          description.links,
          description.params.data(),
          description.params.size(),
          probe,
          api};
}

}  // namespace detail
}  // namespace octavo

// OCTAVO_PLUGIN_VERSION is set by octavo_add_plugin().
#define OCTAVO_DEFINE_PLUGIN(DESCRIPTOR)                                 \
  extern "C" OCTAVO_EXPORT const octavo_plugin* octavo_plugin_v1(void) { \
    static constexpr octavo_plugin descriptor = DESCRIPTOR;              \
    return &descriptor;                                                  \
  }
