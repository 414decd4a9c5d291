#include "io/kernel/udp_sender.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "io/kernel/os_address.h"

namespace fg::io::kernel {

struct UdpSender::Messages {
  // Room for source address, ECN and segment size of either family.
  static constexpr std::size_t kControl =
      CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint16_t));

  std::array<mmsghdr, kSendBatch> headers{};
  std::array<iovec, kSendBatch> parts{};
  std::array<sockaddr_storage, kSendBatch> names{};
  struct alignas(cmsghdr) Control : std::array<std::uint8_t, kControl> {};
  std::array<Control, kSendBatch> control{};

  template <class T>
  static void append(msghdr& header, int level, int type, const T& value) {
    auto* at = static_cast<std::uint8_t*>(header.msg_control) + header.msg_controllen;
    const cmsghdr c{.cmsg_len = CMSG_LEN(sizeof value), .cmsg_level = level, .cmsg_type = type};
    std::memcpy(at, &c, sizeof c);
    std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
    header.msg_controllen += CMSG_SPACE(sizeof value);
  }

  void prepare(std::size_t i, const OutgoingDatagrams& d, Bytes bytes, bool segmented) {
    // The kernel does not write through msg_iov when sending.
    parts[i] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    auto& header = headers[i].msg_hdr;
    header = {};
    header.msg_name = &names[i];
    header.msg_namelen = to_os(d.to, names[i]);
    header.msg_iov = &parts[i];
    header.msg_iovlen = 1;
    header.msg_control = control[i].data();
    if (d.from && d.to.ip.is_v4()) {
      in_pktinfo info{};
      to_os(*d.from, info.ipi_spec_dst);
      append(header, IPPROTO_IP, IP_PKTINFO, info);
    } else if (d.from) {
      in6_pktinfo info{};
      to_os(*d.from, info.ipi6_addr);
      append(header, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
    if (d.ecn != 0) {
      const int value = d.ecn;
      if (d.to.ip.is_v4())
        append(header, IPPROTO_IP, IP_TOS, value);
      else
        append(header, IPPROTO_IPV6, IPV6_TCLASS, value);
    }
    if (segmented) append(header, SOL_UDP, UDP_SEGMENT, d.segment);
    if (header.msg_controllen == 0) header.msg_control = nullptr;
  }
};

UdpSender::UdpSender(int fd, bool segmentation)
    : fd_(fd), segmentation_(segmentation), messages_(std::make_unique<Messages>()) {}
UdpSender::~UdpSender() = default;
UdpSender::UdpSender(UdpSender&&) noexcept = default;
UdpSender& UdpSender::operator=(UdpSender&&) noexcept = default;

UdpSender::Outcome UdpSender::send(std::span<const OutgoingDatagrams> batch) noexcept {
  Outcome outcome;
  while (!batch.empty()) {
    const auto n = std::min(batch.size(), kSendBatch);
    send_run(batch.first(n), outcome);
    batch = batch.subspan(n);
  }
  return outcome;
}

void UdpSender::send_run(std::span<const OutgoingDatagrams> run, Outcome& outcome) noexcept {
  std::size_t at = 0;
  while (at < run.size()) {
    std::size_t prepared = 0;
    while (at + prepared < run.size() && (segmentation_ || run[at + prepared].count() == 1)) {
      const auto& d = run[at + prepared];
      messages_->prepare(prepared, d, d.bytes, d.count() > 1);
      ++prepared;
    }
    if (prepared == 0) {
      send_singly(run[at++], 0, outcome);
      continue;
    }
    ++outcome.calls;
    const int sent =
        ::sendmmsg(fd_, messages_->headers.data(), static_cast<unsigned>(prepared), MSG_DONTWAIT);
    const int error = sent < 0 ? errno : 0;
    if (error == EINTR) continue;
    const std::size_t done = sent < 0 ? 0 : static_cast<std::size_t>(sent);
    for (std::size_t i = at; i < at + done; ++i) {
      outcome.datagrams += run[i].count();
      outcome.bytes += run[i].bytes.size();
    }
    at += done;
    if (error == 0) continue;  // the reason for stopping early is told by the next call
    const auto& refused = run[at++];
    if (refused.count() > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
      send_singly(refused, error, outcome);
    } else {
      outcome.failed += refused.count();
      outcome.error = error;
    }
  }
}

void UdpSender::send_singly(const OutgoingDatagrams& datagrams, int first_error,
                            Outcome& outcome) noexcept {
  auto rest = datagrams.bytes;
  while (!rest.empty()) {
    const auto one = rest.first(std::min<std::size_t>(rest.size(), datagrams.segment));
    messages_->prepare(0, datagrams, one, false);
    ++outcome.calls;
    if (::sendmsg(fd_, &messages_->headers[0].msg_hdr, MSG_DONTWAIT) < 0) {
      if (errno == EINTR) continue;
      outcome.error = errno;
      outcome.failed += (rest.size() + datagrams.segment - 1) / datagrams.segment;
      return;
    }
    ++outcome.datagrams;
    outcome.bytes += one.size();
    rest = rest.subspan(one.size());
  }
  // EIO: the device cannot compute checksums. Single datagrams pass where segmented ones do not:
  // the route cannot segment.
  if (first_error == EIO || first_error == EINVAL) segmentation_ = false;
}

}  // namespace fg::io::kernel
