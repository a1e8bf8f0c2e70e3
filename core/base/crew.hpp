// Threads that work side by side, as many as the system gives.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace octavo {

class Crew {
 public:
  // Starts work(0), work(1), ... work(count - 1), each on a thread of its own. Where the system gives no more
  // threads it stays at fewer; throws Error resources or bad_alloc where it gives none. `work` does not
  // throw.
  Crew(unsigned count, std::function<void(unsigned index)> work);
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  unsigned size() const { return static_cast<unsigned>(threads_.size()); }
  // Returns when all have ended, as the destructor does.
  void join();

 private:
  const std::function<void(unsigned index)> work_;
  std::vector<std::jthread> threads_;
};

}  // namespace octavo
