// Reads UDP datagrams from a classic little-endian pcap file with Ethernet frames, which is what
// the recordings are. Frames of other kinds and IPv6 extension headers are skipped; a malformed
// file ends the reading and leaves `complete` false.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace fg::test {

struct CapturedDatagram {
  std::uint64_t microseconds = 0;  // since 1970
  SocketAddress from;
  SocketAddress to;
  ByteVector payload;
};

struct Capture {
  std::vector<CapturedDatagram> datagrams;
  std::size_t frames = 0;
  bool complete = false;
};

inline bool read_udp_frame(Bytes frame, CapturedDatagram& out) {
  ByteReader in{frame};
  in.skip(12);
  const auto ether_type = in.be16();
  if (ether_type == 0x0800) {
    const int header_words = in.u8() & 0x0F;
    in.skip(8);
    if (in.u8() != 17 || header_words < 5) return false;
    in.skip(2);
    out.from.ip = IpAddress::from_bytes(in.bytes(4));
    out.to.ip = IpAddress::from_bytes(in.bytes(4));
    in.skip(static_cast<std::size_t>(header_words - 5) * 4);
  } else if (ether_type == 0x86DD) {
    in.skip(6);
    if (in.u8() != 17) return false;
    in.skip(1);
    out.from.ip = IpAddress::from_bytes(in.bytes(16));
    out.to.ip = IpAddress::from_bytes(in.bytes(16));
  } else {
    return false;
  }
  out.from.port = in.be16();
  out.to.port = in.be16();
  const std::size_t length = in.be16();
  in.skip(2);
  if (!in.ok() || length < 8) return false;
  out.payload = copy_of(in.bytes(length - 8));
  return in.ok();
}

inline Capture read_pcap(const std::filesystem::path& path) {
  Capture capture;
  std::ifstream file{path, std::ios::binary};
  const ByteVector bytes{std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{}};
  ByteReader in{bytes};
  const bool is_microseconds = in.le32() == 0xA1B2C3D4;
  in.skip(16);
  const bool is_ethernet = in.le32() == 1;
  if (!in.ok() || !is_microseconds || !is_ethernet) return capture;
  while (in.remaining() > 0) {
    CapturedDatagram datagram;
    datagram.microseconds = std::uint64_t{in.le32()} * 1'000'000;
    datagram.microseconds += in.le32();
    const std::size_t captured = in.le32();
    in.skip(4);
    const Bytes frame = in.bytes(captured);
    if (!in.ok()) return capture;
    ++capture.frames;
    if (read_udp_frame(frame, datagram)) capture.datagrams.push_back(std::move(datagram));
  }
  capture.complete = true;
  return capture;
}

}  // namespace fg::test
