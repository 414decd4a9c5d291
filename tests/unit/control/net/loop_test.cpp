#include "control/net/loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace fg::net {
namespace {

TEST(Loop, TheHookRunsAfterEveryBatchOfHandlers) {
  Loop loop;
  std::string trace;
  for (int i = 0; i < 3; ++i) loop.post([&] { trace += 'h'; });
  loop.post([&] { loop.stop(); });
  loop.on_turn([&](Instant) { trace += '|'; });
  loop.run();
  EXPECT_EQ(trace, "hhh");  // no turn after stop
  loop.post([&] { trace += 'x'; });
  loop.on_turn([&](Instant) {
    trace += '|';
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(trace, "hhhx|");
}

TEST(Loop, ABatchIsBounded) {
  Loop loop;
  int handlers = 0;
  std::vector<int> batches;
  for (int i = 0; i < 200; ++i) loop.post([&] { ++handlers; });
  loop.on_turn([&](Instant) {
    batches.push_back(handlers);
    if (handlers == 200) loop.stop();
  });
  loop.run();
  EXPECT_EQ(batches.front(), 64);
  EXPECT_EQ(handlers, 200);
}

TEST(Loop, SleepsUntilTheDeadline) {
  Loop loop;
  int turns = 0;
  const auto deadline = loop.now() + 50ms;
  loop.on_turn([&](Instant now) {
    ++turns;
    if (now >= deadline) {
      loop.stop();
    } else {
      loop.set_deadline(deadline);
    }
  });
  loop.run();
  EXPECT_GE(loop.now(), deadline);
  EXPECT_EQ(turns, 2);  // the first one has no cause
}

TEST(Loop, WorkOfAnotherThreadWakesIt) {
  Loop loop;
  const auto owner = std::this_thread::get_id();
  bool ran_here = false;
  std::thread other([&] {
    loop.post([&] {
      ran_here = std::this_thread::get_id() == owner;
      loop.stop();
    });
  });
  loop.run();
  other.join();
  EXPECT_TRUE(ran_here);
}

TEST(Loop, AWatchedDescriptorCallsAsLongAsItIsReadable) {
  Loop loop;
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  ASSERT_EQ(::write(pipe_fds[1], "abc", 3), 3);
  std::string got;
  loop.watch(pipe_fds[0], [&] {
    char c = 0;
    ASSERT_EQ(::read(pipe_fds[0], &c, 1), 1);
    got += c;
    if (got.size() == 3) {
      loop.unwatch(pipe_fds[0]);
      loop.stop();
    }
  });
  loop.run();
  EXPECT_EQ(got, "abc");
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
}

TEST(Loop, SignalsArriveAsCalls) {
  Loop loop;
  int got = 0;
  loop.on_signals({SIGUSR1, SIGUSR2}, [&](int number) {
    got = number;
    loop.stop();
  });
  ASSERT_EQ(::raise(SIGUSR2), 0);
  loop.run();
  EXPECT_EQ(got, SIGUSR2);
}

TEST(Loop, TheWallClockIsTheSystems) {
  Loop loop;
  EXPECT_GT(loop.wall_now(), WallTime{std::chrono::seconds{1'700'000'000}});
}

}  // namespace
}  // namespace fg::net
