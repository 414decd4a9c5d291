// One interface, held by its packets: frames out as they are, frames in counted and sampled.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "io/kernel/file_descriptor.h"
#include "tests/support/load/frame.h"
#include "tests/support/load/watch.h"

namespace fg::load {

class Link {
 public:
  static constexpr std::size_t kBatch = 64;
  struct Options {
    std::string interface;
    std::string host;  // namespace of it; empty: ours
    Mac other{};       // at the other end of the cable
    Watch::Rule rule;
  };

  explicit Link(const Options& options);

  [[nodiscard]] const Ends& ends() const { return ends_; }
  // Frames begin with their virtio header, at most kBatch of them. How many the other end had a
  // place for.
  std::size_t send(std::span<const Bytes> frames);
  // Samples and others that wait.
  void receive(const std::function<void(MutableBytes frame)>& take);
  [[nodiscard]] int fd() const { return in_.get(); }
  [[nodiscard]] Watch& watch() { return *watch_; }

 private:
  io::kernel::FileDescriptor out_;
  io::kernel::FileDescriptor in_;
  std::optional<Watch> watch_;
  Ends ends_;
  ByteVector buffer_;
};

}  // namespace fg::load
