// IPv4 datagrams with sources of our choice, and what comes back to them: one raw socket and one
// packet socket of a namespace.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "io/kernel/file_descriptor.h"
#include "io/kernel/udp_sender.h"

namespace fg::flood {

// IPv4 and UDP header and payload; checksums are the kernel's, or none.
[[nodiscard]] ByteVector ip_packet(const SocketAddress& from, const SocketAddress& to,
                                   Bytes payload);

class RawLink {
 public:
  static constexpr std::size_t kBatch = 64;

  // Watches everything that passes the interface, own packets too, or only what arrives.
  RawLink(const std::string& interface, bool sees_own);
  ~RawLink();
  RawLink(const RawLink&) = delete;
  RawLink& operator=(const RawLink&) = delete;

  // At most kBatch whole packets; how many the kernel took.
  std::size_t send(std::span<const Bytes> packets);
  // IPv4 UDP packets that are waiting.
  struct Seen {
    SocketAddress from;
    SocketAddress to;
    Bytes packet;  // from the IP header
    Bytes payload;
  };
  void receive(const std::function<void(const Seen&)>& take);

 private:
  int raw_ = -1;
  int seen_ = -1;
};

// Segmented datagrams from any IPv4 source: what a raw socket cannot send.
class SpoofingSocket {
 public:
  SpoofingSocket();
  io::kernel::UdpSender::Outcome send(std::span<const OutgoingDatagrams> batch) {
    return sender_.send(batch);
  }

 private:
  io::kernel::FileDescriptor fd_;
  io::kernel::UdpSender sender_;
};

}  // namespace fg::flood
