#include "io/xdp/attach_error.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstring>

namespace fg::io::xdp {
namespace {

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

std::string locked_memory_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return "unlimited";
  return std::to_string(limit.rlim_cur >> 10) + " KiB";
}

}  // namespace

AttachError::Reason reason_of(int error) {
  using Reason = AttachError::Reason;
  switch (error) {
    case EPERM:
    case EACCES:
      return Reason::no_permission;
    case ENOMEM:
      return Reason::locked_memory;
    case EINVAL:
    case ENOSYS:
    case E2BIG:
      return Reason::kernel_too_old;
    case ENODEV:
      return Reason::no_interface;
    case EBUSY:
    case EEXIST:
      return Reason::occupied;
    default:
      return Reason::device_refused;
  }
}

std::string AttachError::to_string() const {
  std::string text;
  switch (reason) {
    case Reason::no_interface:
      text = "there is no interface " + interface + ": name one that `ip link` lists";
      break;
    case Reason::not_ethernet:
      text = interface +
             " is not an Ethernet device: name the interface that the tunnel's packets come in by";
      break;
    case Reason::no_permission:
      text =
          "BPF programs or AF_XDP sockets are not permitted: run as root or with CAP_BPF, "
          "CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW, outside of a container that forbids bpf()";
      break;
    case Reason::locked_memory:
      text = "the BPF maps found no memory (locked memory is limited to " + locked_memory_limit() +
             "): raise it, LimitMEMLOCK=infinity in the unit";
      break;
    case Reason::kernel_too_old:
      text = "kernel " + kernel_release() +
             " does not take the BPF program: 5.18 or later is needed, with CONFIG_XDP_SOCKETS";
      break;
    case Reason::occupied:
      text = interface +
             " has an XDP program that shares with nobody: detach it (ip link set dev " +
             interface + " xdp off), or load it by xdp-loader, which lets programs share";
      break;
    case Reason::no_bpffs:
      text = "other XDP programs are on " + interface +
             ", and sharing with them needs the BPF file system: mount -t bpf bpf /sys/fs/bpf";
      break;
    case Reason::another_gateway:
      text = "another running firegate has " + interface +
             ": stop it, or give this one --backend kernel";
      break;
    case Reason::device_refused:
      text = interface + " refuses XDP";
      if (error == ENOSPC || error == ENOMEM)
        text +=
            ": give it as many receive queues as its peer sends on (ethtool -L " + interface + ")";
      else if (error == EOPNOTSUPP)
        text += ": its driver cannot, update the kernel or use another device";
      else
        text += ": look for its reason in dmesg (MTU, LRO, number of queues)";
      break;
    case Reason::dispatcher_refused:
      text = "the other XDP programs on " + interface +
             " leave no room beside them: look at `xdp-loader status " + interface + "`";
      break;
    case Reason::frame_memory:
      text =
          "the AF_XDP sockets' frames found no memory, 10 MiB a queue (locked memory is limited "
          "to " +
          locked_memory_limit() + "): raise it, LimitMEMLOCK=infinity in the unit";
      break;
    case Reason::queue_taken:
      text = "another program has an AF_XDP socket on " + interface +
             ": stop it (`ss --xdp` names it), or give this gateway --backend kernel";
      break;
    case Reason::socket_refused:
      text = interface +
             " refuses AF_XDP sockets: the kernel needs CONFIG_XDP_SOCKETS and the device's queues "
             "are to be up (ip link set dev " +
             interface + " up)";
      break;
    case Reason::only_copies:
      text = interface +
             "'s driver cannot hand frames over without copying, which saves nothing in bulk: set "
             "--backend xdp to have it for many small packets";
      break;
  }
  if (!detail.empty()) text += " [" + detail + "]";
  if (error != 0) text += std::string(" (") + ::strerrordesc_np(error) + ")";
  return text;
}

}  // namespace fg::io::xdp
