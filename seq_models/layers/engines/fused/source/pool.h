// Threads that work through parts of jobs by turns.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace seq_models {

// Parts of a job are taken one after the other by whoever is free: the caller, and the workers of the pool. A thread that
// is held up by other work holds up one part only. Jobs of several callers share the workers.
class Pool {
 public:
  explicit Pool(int workers) {
    for (int i = 0; i < workers; ++i) std::thread([this] { serve(); }).detach();  // they live as long as the process
  }

  void run(int parts, const std::function<void(int)>& part) {
    if (parts <= 1) {
      if (parts == 1) part(0);
      return;
    }
    auto job = std::make_shared<Job>(parts, part);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(job);
    }
    wake_.notify_all();
    work(*job);
    std::unique_lock<std::mutex> lock(job->mutex);
    job->done.wait(lock, [&] { return job->left == 0; });
    if (job->error) std::rethrow_exception(job->error);
  }

 private:
  struct Job {
    Job(int parts, const std::function<void(int)>& part) : parts(parts), left(parts), part(part) {}
    const int parts;
    std::atomic<int> next{0};
    int left;
    std::exception_ptr error;
    const std::function<void(int)>& part;
    std::mutex mutex;
    std::condition_variable done;
  };

  static void work(Job& job) {
    for (int i; (i = job.next.fetch_add(1)) < job.parts;) {
      std::exception_ptr error;
      try {
        job.part(i);
      } catch (...) {
        error = std::current_exception();
      }
      std::lock_guard<std::mutex> lock(job.mutex);
      if (error) job.error = error;
      if (--job.left == 0) job.done.notify_all();
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return !jobs_.empty(); });
      std::shared_ptr<Job> job = jobs_.front();
      if (job->next >= job->parts) {  // all of it is taken
        jobs_.pop_front();
        continue;
      }
      lock.unlock();
      work(*job);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;
};

}  // namespace seq_models
