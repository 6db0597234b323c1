// Threads that take the same rows through the steps, each with its share of the units: for few rows.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>

namespace seq_models {

// Where the threads of a team wait for each other. They come within microseconds of each other, so they spin; one whose
// companion has no core lets others have its own.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}

  void wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins)
      if (spins > SPINS) std::this_thread::yield();
  }

 private:
  static constexpr int SPINS = 2000;
  const int members_;
  std::atomic<int> arrived_{0}, round_{0};
};

// A thread of a team, and its share of `count` things: those from `from(count)` to before `to(count)`.
struct Member {
  int index = 0, members = 1;
  Barrier* barrier = nullptr;  // null: it is alone

  bool leads() const { return index == 0; }
  int64_t from(int64_t count) const { return count * index / members; }
  int64_t to(int64_t count) const { return count * (index + 1) / members; }
  void wait() const {
    if (barrier) barrier->wait();
  }
};

}  // namespace seq_models
