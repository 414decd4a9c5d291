#include "io/kernel/steering.h"

#include <sys/socket.h>

#include <cerrno>

namespace fg::io::kernel {
namespace {

constexpr sock_filter statement(unsigned code, std::uint32_t k) {
  return {static_cast<std::uint16_t>(code), 0, 0, k};
}
constexpr sock_filter jump(unsigned code, std::uint32_t k, std::uint8_t yes, std::uint8_t no) {
  return {static_cast<std::uint16_t>(code), yes, no, k};
}

constexpr std::uint32_t kDataMessage = 0x04000000;  // WireGuard type 4 and three zero bytes
constexpr std::uint32_t kChannelMask = 0xF0000000;  // first byte 0x40-0x4F (spec connectivity 1.3)
constexpr std::uint32_t kChannel = 0x40000000;

}  // namespace

std::array<sock_filter, 13> steering_program(unsigned workers) {
  // A load beyond the datagram ends the program with 0: the first socket.
  return {{
      statement(BPF_LD | BPF_W | BPF_ABS, 0),
      jump(BPF_JMP | BPF_JEQ | BPF_K, kDataMessage, 0, 2),
      statement(BPF_LD | BPF_B | BPF_ABS, 7),  // last byte of the little-endian receiver index
      jump(BPF_JMP | BPF_JA, 5, 0, 0),
      statement(BPF_ALU | BPF_AND | BPF_K, kChannelMask),
      jump(BPF_JMP | BPF_JEQ | BPF_K, kChannel, 0, 6),
      statement(BPF_LD | BPF_W | BPF_ABS, 4),
      jump(BPF_JMP | BPF_JEQ | BPF_K, kDataMessage, 0, 4),
      statement(BPF_LD | BPF_B | BPF_ABS, 11),
      statement(BPF_ALU | BPF_RSH | BPF_K, 4),
      jump(BPF_JMP | BPF_JGE | BPF_K, workers, 1, 0),
      statement(BPF_RET | BPF_A, 0),
      statement(BPF_RET | BPF_K, 0),
  }};
}

std::optional<SysError> attach_steering(int fd, unsigned workers) {
  auto program = steering_program(workers);
  const sock_fprog attached{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &attached, sizeof attached) != 0) {
    return SysError{"attach steering filter", errno};
  }
  return std::nullopt;
}

}  // namespace fg::io::kernel
