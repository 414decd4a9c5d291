#include "tests/support/load/watch.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/load/frame.h"

namespace fg::load {

struct Watch::Shared {
  std::uint64_t datagrams;
  std::uint64_t bytes;
  std::uint64_t sample_mask;
};

namespace {

constexpr std::uint32_t kPayloadAt = kEthernet + kIpUdp;

[[noreturn]] void fail_with(const char* what, const char* detail = "") {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno) + detail);
}

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

// An assembler of as much of the instruction set (kernel, Documentation/bpf/standardization) as the
// filter needs. Jumps go forward to one of the two ends.
class Program {
 public:
  enum class End : std::uint8_t { drop, other };

  void load_packet(int size, std::uint32_t at) {
    add(static_cast<std::uint8_t>(BPF_LD | BPF_ABS | size), 0, 0, 0, static_cast<std::int32_t>(at));
  }
  void load_field(std::uint8_t to, std::size_t offset) {
    add(BPF_LDX | BPF_MEM | BPF_W, to, 6, static_cast<std::int16_t>(offset), 0);
  }
  void load_shared(std::uint8_t to, std::uint8_t base, std::size_t offset) {
    add(BPF_LDX | BPF_MEM | BPF_DW, to, base, static_cast<std::int16_t>(offset), 0);
  }
  void add_shared(std::uint8_t base, std::size_t offset, std::uint8_t from) {
    add(BPF_STX | BPF_ATOMIC | BPF_DW, base, from, static_cast<std::int16_t>(offset), BPF_ADD);
  }
  void set(std::uint8_t to, std::int32_t value) {
    add(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
  }
  void copy(std::uint8_t to, std::uint8_t from) {
    add(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
  }
  void plus(std::uint8_t to, std::int32_t value) {
    add(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value);
  }
  void operate(int operation, std::uint8_t to, std::uint8_t from) {
    add(static_cast<std::uint8_t>(BPF_ALU64 | operation | BPF_X), to, from, 0, 0);
  }
  void point_at_map(std::uint8_t to, int map) {
    add(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_VALUE, 0, map);
    add(0, 0, 0, 0, 0);
  }
  // 32 bits, unsigned.
  void unless(int comparison, std::uint8_t what, std::uint32_t value, End end) {
    ends_.push_back({code_.size(), end});
    add(static_cast<std::uint8_t>(BPF_JMP32 | comparison | BPF_K), what, 0, 0,
        static_cast<std::int32_t>(value));
  }
  void skip_if_zero(std::uint8_t what, std::int16_t instructions) {
    add(BPF_JMP | BPF_JEQ | BPF_K, what, 0, instructions, 0);
  }
  void finish(bool hands_up_others) {
    const auto sample = code_.size();
    hand_up(kAll);
    const auto drop = code_.size();
    hand_up(0);
    for (const auto& [at, end] : ends_) {
      const auto to = end == End::other && hands_up_others ? sample : drop;
      code_[at].off = static_cast<std::int16_t>(to - at - 1);
    }
  }
  [[nodiscard]] const std::vector<bpf_insn>& code() const { return code_; }

 private:
  static constexpr std::int32_t kAll = 0x7FFF'FFFF;

  void add(int code, std::uint8_t to, std::uint8_t from, std::int16_t offset, std::int32_t value) {
    bpf_insn one{};
    one.code = static_cast<std::uint8_t>(code);
    one.dst_reg = to & 0xF;
    one.src_reg = from & 0xF;
    one.off = offset;
    one.imm = value;
    code_.push_back(one);
  }
  void hand_up(std::int32_t bytes) {
    set(0, bytes);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }

  struct Jump {
    std::size_t at;
    End end;
  };
  std::vector<bpf_insn> code_;
  std::vector<Jump> ends_;
};

// What a packet socket's filter sees starts with the Ethernet header.
Program filter_of(const Watch::Rule& rule, int map) {
  using End = Program::End;
  Program p;
  p.copy(6, 1);
  p.load_packet(BPF_H, 12);
  p.unless(BPF_JNE, 0, 0x0800, End::drop);
  p.load_packet(BPF_B, kEthernet);
  p.unless(BPF_JNE, 0, 0x45, End::drop);
  p.load_packet(BPF_B, kEthernet + 9);
  p.unless(BPF_JEQ, 0, 1, End::other);
  p.unless(BPF_JNE, 0, 17, End::drop);
  p.load_packet(BPF_H, kEthernet + 22);
  p.unless(BPF_JLT, 0, rule.first_port, End::drop);
  p.unless(BPF_JGT, 0, rule.last_port, End::drop);
  p.load_field(7, offsetof(__sk_buff, len));
  p.unless(BPF_JLT, 7, kPayloadAt + rule.payload_min, End::other);
  p.load_packet(BPF_W, kPayloadAt);
  p.unless(BPF_JNE, 0, rule.mark, End::other);
  p.plus(7, -static_cast<std::int32_t>(kPayloadAt));
  p.set(8, 1);
  p.load_field(9, offsetof(__sk_buff, gso_size));
  p.skip_if_zero(9, 4);
  p.copy(8, 7);
  p.operate(BPF_ADD, 8, 9);
  p.plus(8, -1);
  p.operate(BPF_DIV, 8, 9);
  p.load_packet(BPF_B, kPayloadAt + rule.sample_at);
  p.point_at_map(1, map);
  p.add_shared(1, offsetof(Watch::Count, datagrams), 8);
  p.add_shared(1, offsetof(Watch::Count, bytes), 7);
  p.load_shared(2, 1, sizeof(Watch::Count));
  p.operate(BPF_AND, 0, 2);
  p.unless(BPF_JNE, 0, 0, End::drop);
  p.finish(rule.hands_up_others);
  return p;
}

}  // namespace

Watch::Watch(int packet_socket, const Rule& rule) {
  static_assert(offsetof(Shared, bytes) == offsetof(Count, bytes));
  static_assert(offsetof(Shared, sample_mask) == sizeof(Count));
  bpf_attr map{};
  map.map_type = BPF_MAP_TYPE_ARRAY;
  map.key_size = 4;
  map.value_size = sizeof(Shared);
  map.max_entries = 1;
  map.map_flags = BPF_F_MMAPABLE;
  map_ = io::kernel::FileDescriptor{bpf(BPF_MAP_CREATE, map)};
  if (!map_.is_open()) fail_with("BPF map");
  void* at = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, map_.get(), 0);
  if (at == MAP_FAILED) fail_with("BPF map's memory");
  shared_ = static_cast<Shared*>(at);

  const auto filter = filter_of(rule, map_.get());
  std::array<char, 8192> log{};
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  load.insns = reinterpret_cast<std::uintptr_t>(filter.code().data());
  load.insn_cnt = static_cast<std::uint32_t>(filter.code().size());
  load.license = reinterpret_cast<std::uintptr_t>("Dual BSD/GPL");
  load.log_buf = reinterpret_cast<std::uintptr_t>(log.data());
  load.log_size = log.size();
  load.log_level = 1;
  const io::kernel::FileDescriptor program{bpf(BPF_PROG_LOAD, load)};
  if (!program.is_open()) fail_with("BPF filter", log.data());
  const int fd = program.get();
  if (::setsockopt(packet_socket, SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof fd) != 0)
    fail_with("attach BPF filter");
}

Watch::~Watch() { ::munmap(const_cast<Shared*>(shared_), sizeof(Shared)); }

Watch::Count Watch::count() const { return {shared_->datagrams, shared_->bytes}; }

void Watch::set_sample_mask(std::uint8_t mask) { shared_->sample_mask = mask; }

}  // namespace fg::load
