// Why the XDP program is not on an interface, or only in generic mode: a reason, and for the one
// who reads it the mend.
#pragma once

#include <cstdint>
#include <string>

namespace fg::io::xdp {

struct AttachError {
  enum class Reason : std::uint8_t {
    no_interface,
    not_ethernet,
    no_permission,
    locked_memory,
    kernel_too_old,
    occupied,         // a program that came without libxdp's dispatcher; detail: which
    no_bpffs,         // another's dispatcher is there, its file system is not
    another_gateway,  // a live one
    device_refused,   // neither mode, or not the one that was asked for; detail: which
    dispatcher_refused,
    frame_memory,    // of the AF_XDP sockets
    queue_taken,     // by another AF_XDP socket
    socket_refused,  // for a queue; detail: which
    only_copies,     // no zero copy, and copying was not asked for
  };
  Reason reason{};
  int error = 0;  // errno
  std::string interface;
  std::string detail;  // of the library or the device, may be empty

  // One line, without the interface's name where the mend does not need it.
  [[nodiscard]] std::string to_string() const;
};

// The reason behind a refused bpf() call.
[[nodiscard]] AttachError::Reason reason_of(int error);

}  // namespace fg::io::xdp
