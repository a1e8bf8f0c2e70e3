#include "base/crew.hpp"

#include "base/error.hpp"

#include <new>
#include <system_error>
#include <utility>

namespace octavo {

Crew::Crew(unsigned count, std::function<void(unsigned index)> work) : work_(std::move(work)) {
  threads_.reserve(count);
  // With threads at work nothing more may fail here: they would be waited for, and may wait for one another.
  try {
    while (size() < count) threads_.emplace_back([this, index = size()] { work_(index); });
  } catch (const std::system_error& error) {
    if (threads_.empty()) {
      throw Error(ErrorCode::resources,
                  fmt::format("[threads] none can be started: {}", error.code().message()),
                  "a limit on memory or processes is reached (ulimit -a)");
    }
  } catch (const std::bad_alloc&) {
    if (threads_.empty()) throw;
  }
}

void Crew::join() {
  for (std::jthread& thread : threads_) thread.join();
}

}  // namespace octavo
