// Calling into a plugin: every call goes through here, so that statuses become Errors, exceptions of plugins
// that are not written with the SDK's C++ layer end here, and the floating-point control word stays what it
// was.
#pragma once

#include "base/error.hpp"
#include "plugin/control_word.hpp"
#include "plugin/params.hpp"

#include <octavo/abi/plugin.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>

namespace octavo::plugin {

// Failures that a run can go around with another backend, and the first of them with smaller tiles too.
class BackendGaveUp : public Error {
 public:
  using Error::Error;
};
class OutOfMemory : public BackendGaveUp {
 public:
  using BackendGaveUp::BackendGaveUp;
};
class DeviceLost : public BackendGaveUp {
 public:
  using BackendGaveUp::BackendGaveUp;
};

// The exit code that belongs to a status.
ErrorCode code_of(octavo_status status);

// Throws Error for a status other than OCTAVO_OK (OutOfMemory for OCTAVO_NO_MEMORY, DeviceLost for
// OCTAVO_DEVICE_LOST): "[who: operation] the plugin's message" and its hint.
[[noreturn]] void throw_status(const std::string& who, std::string_view operation, octavo_status status,
                               const octavo_error& error);
[[noreturn]] void throw_foreign(const std::string& who, std::string_view operation, const char* what);
[[noreturn]] void throw_control_word(const std::string& who, std::string_view operation);

// Runs `body`, which calls one function of plugin `who`. Throws Error failed if an exception comes out of the
// plugin or if the control word was changed (it is put back).
template <typename Body>
auto contain(const std::string& who, std::string_view operation, Body&& body) {
  struct Caught {
    std::string what;
  };
  ControlWordGuard control;
  const auto finish = [&] {
    if (control.restore()) throw_control_word(who, operation);
  };
  try {
    if constexpr (std::is_void_v<decltype(body())>) {
      body();
      finish();
    } else {
      auto result = body();
      finish();
      return result;
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw_foreign(who, operation, error.what());
  } catch (...) {
    throw_foreign(who, operation, "not a std::exception");
  }
}

inline octavo_error empty_error() {
  octavo_error error{};
  error.struct_size = sizeof error;
  return error;
}

// contain, for a function that returns a status: `body(&error)`. OCTAVO_OK and `accepted` are returned,
// everything else is thrown.
template <typename Body>
octavo_status call(const std::string& who, std::string_view operation, Body&& body,
                   octavo_status accepted = OCTAVO_OK) {
  octavo_error error = empty_error();
  const octavo_status status = contain(who, operation, [&] { return body(&error); });
  if (status != OCTAVO_OK && status != accepted) throw_status(who, operation, status, error);
  return status;
}

// The text of a fixed array of the boundary, also where a plugin forgot the end.
template <std::size_t Size>
std::string text_of(const char (&array)[Size]) {
  return {array, strnlen(array, Size)};
}

// An object that a plugin made: created with parameters, destroyed with the last handle. Empty only when
// moved from.
template <typename Api>
class Instance {
 public:
  // `values` as resolved for this plugin. Throws Error as the plugin's create says.
  Instance(const octavo_plugin& plugin, const octavo_host* host, const Values& values)
      : who_(plugin.id), api_(static_cast<const Api*>(plugin.api)) {
    void* self = nullptr;
    const auto raw = boundary_values(values);
    call(who_, "create",
         [&](octavo_error* error) { return api_->create(host, raw.data(), raw.size(), &self, error); });
    self_ = {self, Destroy{who_, api_}};
  }

  const std::string& who() const { return who_; }
  const Api& api() const { return *api_; }
  void* self() const { return self_.get(); }

 private:
  struct Destroy {
    std::string who;
    const Api* api = nullptr;
    void operator()(void* self) const noexcept {
      try {
        contain(who, "destroy", [&] { api->destroy(self); });
      } catch (...) {  // a destructor has nobody to tell
      }
    }
  };

  std::string who_;
  const Api* api_;
  std::unique_ptr<void, Destroy> self_;
};

}  // namespace octavo::plugin
