#include "io/xdp/program.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "fast_path.skel.h"
#include "io/kernel/file_descriptor.h"
#include "io/xdp/device.h"

namespace fg::io::xdp {
namespace {

using kernel::FileDescriptor;
using Reason = AttachError::Reason;

constexpr const char* kProgramName = "firegate_xdp";
constexpr const char* kDispatcherName = "xdp_dispatcher";  // libxdp's
constexpr const char* kFileSystem = "/sys/fs/bpf";

// What the libraries said last: they report by a process-wide function, and print otherwise.
thread_local std::array<char, 256> last_words;

void keep_words(const char* format, va_list arguments) {
  std::vsnprintf(last_words.data(), last_words.size(), format, arguments);
  const std::string_view said{last_words.data()};
  last_words[std::min(said.find('\n'), last_words.size() - 1)] = '\0';
}
int on_libbpf_words(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_WARN) keep_words(format, arguments);
  return 0;
}
int on_libxdp_words(libxdp_print_level level, const char* format, va_list arguments) {
  if (level == LIBXDP_WARN) keep_words(format, arguments);
  return 0;
}

void listen_to_libraries() {
  last_words[0] = '\0';
  ::libbpf_set_print(on_libbpf_words);
  ::libxdp_set_print(on_libxdp_words);
}

// Options as the libraries want them: their size, the rest zero.
template <class Options>
Options sized() {
  Options out;
  std::memset(&out, 0, sizeof out);
  out.sz = sizeof out;
  return out;
}

bool has_bpf_file_system() {
  struct statfs info{};
  return ::statfs(kFileSystem, &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

// Held while a gateway shares the interface: an abstract socket ends with its process, whereas what
// is in the dispatcher does not. Where it is free, a program of ours there is a dead gateway's.
FileDescriptor claim_sharing(unsigned index) {
  FileDescriptor claim{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const int length = std::snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "firegate-xdp-%u",
                                   index);  // from the second byte on: abstract
  const auto size = offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(length);
  if (::bind(claim.get(), reinterpret_cast<const sockaddr*>(&name), static_cast<socklen_t>(size)) !=
      0)
    claim.close();
  return claim;
}

struct Closer {
  void operator()(fast_path_bpf* p) const { fast_path_bpf__destroy(p); }
  void operator()(xdp_program* p) const { ::xdp_program__close(p); }
  void operator()(xdp_multiprog* p) const { ::xdp_multiprog__close(p); }
};
using Skeleton = std::unique_ptr<fast_path_bpf, Closer>;
using SharedProgram = std::unique_ptr<xdp_program, Closer>;
using Dispatcher = std::unique_ptr<xdp_multiprog, Closer>;

Skeleton open_skeleton(const ProgramOptions& options) {
  Skeleton skeleton{fast_path_bpf__open()};
  if (skeleton) skeleton->rodata->frame_max = options.frame_max;
  return skeleton;
}

// None: libxdp cannot read it.
Dispatcher dispatcher_of(unsigned index) {
  auto* found = ::xdp_multiprog__get_from_ifindex(static_cast<int>(index));
  return Dispatcher{::libxdp_get_error(found) != 0 ? nullptr : found};
}

std::uint32_t attached_program(unsigned index) {
  std::uint32_t id = 0;
  auto query = sized<bpf_xdp_query_opts>();
  if (::bpf_xdp_query(static_cast<int>(index), 0, &query) == 0)
    id = query.prog_id != 0 ? query.prog_id : query.drv_prog_id | query.skb_prog_id;
  return id;
}

std::string name_of_program(std::uint32_t id) {
  const FileDescriptor program{::bpf_prog_get_fd_by_id(id)};
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  if (::bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return {};
  return info.name;
}

void remove_leftovers_of(unsigned index) {
  // Removing changes what is walked: start again each time. The dispatcher holds ten.
  for (int i = 0; i < 10; ++i) {
    const auto dispatcher = dispatcher_of(index);
    if (!dispatcher) return;
    xdp_program* ours = nullptr;
    for (auto* p = ::xdp_multiprog__next_prog(nullptr, dispatcher.get()); p != nullptr;
         p = ::xdp_multiprog__next_prog(p, dispatcher.get())) {
      if (std::string_view{::xdp_program__name(p)} == kProgramName) ours = p;
    }
    if (ours == nullptr) return;
    if (::xdp_program__detach(ours, static_cast<int>(index),
                              ::xdp_multiprog__attach_mode(dispatcher.get()), 0) != 0)
      return;
  }
}

fg_xdp_address key_of(const IpAddress& ip) {
  fg_xdp_address key{};
  std::memcpy(key.bytes, ip.raw().data(), sizeof key.bytes);
  key.family = ip.is_v4() ? FG_XDP_V4 : FG_XDP_V6;
  return key;
}
fg_xdp_endpoint key_of(const SocketAddress& socket) {
  return {key_of(socket.ip), htons(socket.port), 0};
}

// A hash map that is used as a set. What stays is never taken out on the way.
template <class Value>
class MapSet {
 public:
  std::optional<SysError> assign(int map, std::span<const Value> wanted, std::size_t limit) {
    std::vector<Value> next{wanted.begin(), wanted.end()};
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    std::optional<SysError> error;
    if (next.size() > limit) {
      next.resize(limit);
      error = SysError{"more entries than the XDP program's map holds", E2BIG};
    }
    for (const auto& old : present_) {
      if (std::binary_search(next.begin(), next.end(), old)) continue;
      const auto key = key_of(old);
      ::bpf_map_delete_elem(map, &key);
    }
    for (const auto& value : next) {
      if (std::binary_search(present_.begin(), present_.end(), value)) continue;
      const auto key = key_of(value);
      const std::uint8_t is_in = 1;
      if (::bpf_map_update_elem(map, &key, &is_in, BPF_ANY) != 0 && !error)
        error = SysError{"add to a map of the XDP program", errno};
    }
    present_ = std::move(next);
    return error;
  }

 private:
  std::vector<Value> present_;
};

}  // namespace

std::string_view to_string(AttachMode mode) {
  return mode == AttachMode::native ? "native" : "generic";
}

std::string_view VerdictCounters::name(std::size_t verdict) {
  static constexpr std::array<std::string_view, kCount> kNames{
#define FG_XDP_NAME(name, text) #name,
      FG_XDP_VERDICTS(FG_XDP_NAME)
#undef FG_XDP_NAME
  };
  return kNames.at(verdict);
}

std::uint64_t VerdictCounters::passed() const {
  std::uint64_t sum = 0;
  for (const auto n : of) sum += n;
  return sum - redirected();
}

class Program::State {
 public:
  State(const ProgramOptions& options, unsigned index) : options_(options), index_(index) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (shared_)
      ::xdp_program__detach(shared_.get(), static_cast<int>(index_), flag_of_shared_mode(), 0);
  }

  std::optional<AttachError> attach_alone() {
    skeleton_ = open_skeleton(options_);
    if (!skeleton_) return error_of(reason_of(errno), errno);
    if (const int refused = fast_path_bpf__load(skeleton_.get()); refused != 0)
      return error_of(reason_of(-refused), -refused, last_words.data());
    if (options_.only) {
      const int refused = link(*options_.only);
      return refused == 0 ? std::nullopt : std::optional{refusal(refused)};
    }
    const int native = link(AttachMode::native);
    if (native == 0) return std::nullopt;
    const int generic = link(AttachMode::generic);
    if (generic != 0) return refusal(generic);
    limitation_ = error_of(Reason::device_refused, native, "native mode").to_string();
    return std::nullopt;
  }

  std::optional<AttachError> attach_shared(FileDescriptor claim) {
    const auto dispatcher = dispatcher_of(index_);
    if (!dispatcher) return error_of(Reason::dispatcher_refused, errno, last_words.data());
    const auto mode = ::xdp_multiprog__attach_mode(dispatcher.get());
    const auto theirs = mode == XDP_MODE_SKB ? AttachMode::generic : AttachMode::native;
    if (options_.only && *options_.only != theirs)
      return error_of(Reason::dispatcher_refused, 0,
                      "they are in " + std::string(to_string(theirs)) + " mode");
    skeleton_ = open_skeleton(options_);
    if (!skeleton_) return error_of(reason_of(errno), errno);
    auto of_object = sized<xdp_program_opts>();
    of_object.obj = skeleton_->obj;
    of_object.prog_name = kProgramName;
    auto* created = ::xdp_program__create(&of_object);
    if (const auto refused = ::libxdp_get_error(created); refused != 0)
      return error_of(Reason::dispatcher_refused, static_cast<int>(-refused), last_words.data());
    SharedProgram program{created};
    if (const int refused = ::xdp_program__attach(program.get(), static_cast<int>(index_), mode, 0);
        refused != 0)
      return error_of(Reason::dispatcher_refused, -refused, last_words.data());
    shared_ = std::move(program);
    set_mode(theirs);
    claim_ = std::move(claim);
    if (theirs == AttachMode::generic && !options_.only)
      limitation_ = "the other XDP programs on " + options_.interface +
                    " are in generic mode: load them in native mode";
    return std::nullopt;
  }

  [[nodiscard]] AttachError error_of(Reason reason, int error, std::string detail = "") const {
    return {reason, error, options_.interface, std::move(detail)};
  }
  [[nodiscard]] AttachMode mode() const { return mode_; }
  [[nodiscard]] unsigned index() const { return index_; }
  [[nodiscard]] bool is_shared() const { return shared_ != nullptr; }
  [[nodiscard]] const std::string& limitation() const { return limitation_; }
  [[nodiscard]] fast_path_bpf& skeleton() const { return *skeleton_; }

  [[nodiscard]] bool is_attached() const {
    if (shared_)
      return ::xdp_program__is_attached(shared_.get(), static_cast<int>(index_)) != XDP_MODE_UNSPEC;
    bpf_link_info info{};
    std::uint32_t size = sizeof info;
    return ::bpf_obj_get_info_by_fd(link_.get(), &info, &size) == 0 && info.xdp.ifindex == index_;
  }

  MapSet<IpAddress> addresses;
  MapSet<SocketAddress> relays;

 private:
  // Before there is a socket, so that nothing was taken by the other mode's rules.
  void set_mode(AttachMode mode) {
    mode_ = mode;
    skeleton_->bss->is_generic = mode == AttachMode::generic ? 1 : 0;
  }
  // An errno, or 0.
  int link(AttachMode mode) {
    auto options = sized<bpf_link_create_opts>();
    options.flags = mode == AttachMode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    const int made = ::bpf_link_create(::bpf_program__fd(skeleton_->progs.firegate_xdp),
                                       static_cast<int>(index_), BPF_XDP, &options);
    if (made < 0) return -made;
    link_ = FileDescriptor{made};
    set_mode(mode);
    return 0;
  }
  [[nodiscard]] AttachError refusal(int error) const {
    const auto reason = reason_of(error);
    const bool is_of_device = reason == Reason::kernel_too_old || reason == Reason::locked_memory;
    return error_of(is_of_device ? Reason::device_refused : reason, error,
                    options_.only ? std::string(to_string(*options_.only)) + " mode" : "");
  }
  [[nodiscard]] xdp_attach_mode flag_of_shared_mode() const {
    return mode_ == AttachMode::native ? XDP_MODE_NATIVE : XDP_MODE_SKB;
  }

  ProgramOptions options_;
  unsigned index_;
  Skeleton skeleton_;  // its object is the shared program's
  FileDescriptor link_;
  FileDescriptor claim_;
  SharedProgram shared_;
  AttachMode mode_ = AttachMode::native;
  std::string limitation_;
};

void remove_leftovers() {
  if (!has_bpf_file_system()) return;
  listen_to_libraries();
  const std::unique_ptr<struct if_nameindex[], decltype(&::if_freenameindex)> interfaces{
      ::if_nameindex(), &::if_freenameindex};
  for (const auto* one = interfaces.get(); one != nullptr && one->if_index != 0; ++one) {
    if (name_of_program(attached_program(one->if_index)) != kDispatcherName) continue;
    const auto claim = claim_sharing(one->if_index);
    if (claim.is_open()) remove_leftovers_of(one->if_index);
  }
}

Result<Program, AttachError> Program::attach(const ProgramOptions& options) {
  listen_to_libraries();
  const unsigned index = ::if_nametoindex(options.interface.c_str());
  const auto refused = [&](Reason reason, int error, std::string detail = "") {
    return fail(AttachError{reason, error, options.interface, std::move(detail)});
  };
  if (index == 0) return refused(Reason::no_interface, 0);
  if (!is_ethernet(options.interface)) return refused(Reason::not_ethernet, 0);

  FileDescriptor claim;
  if (name_of_program(attached_program(index)) == kDispatcherName) {
    if (!has_bpf_file_system()) return refused(Reason::no_bpffs, 0);
    claim = claim_sharing(index);
    if (!claim.is_open()) return refused(Reason::another_gateway, 0);
    remove_leftovers_of(index);
  }

  auto state = std::make_unique<State>(options, index);
  std::optional<AttachError> error;
  if (const auto other = attached_program(index); other == 0) {
    error = state->attach_alone();
  } else if (const auto name = name_of_program(other); name == kDispatcherName) {
    error = state->attach_shared(std::move(claim));
  } else if (name == kProgramName) {
    return refused(Reason::another_gateway, 0);
  } else {
    return refused(Reason::occupied, 0, "program " + std::to_string(other) + " \"" + name + "\"");
  }
  if (error) return fail(std::move(*error));
  return Program{std::move(state)};
}

Program::Program(std::unique_ptr<State> state) : state_(std::move(state)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

AttachMode Program::mode() const { return state_->mode(); }
unsigned Program::interface_index() const { return state_->index(); }
bool Program::is_shared() const { return state_->is_shared(); }
const std::string& Program::limitation() const { return state_->limitation(); }
bool Program::is_attached() const { return state_->is_attached(); }

unsigned Program::queues() const { return std::min(receive_queues(state_->index()), kQueuesMax); }

std::optional<SysError> Program::set_socket(unsigned queue, int xsk) {
  if (::bpf_map_update_elem(::bpf_map__fd(state_->skeleton().maps.fg_sockets), &queue, &xsk,
                            BPF_ANY) != 0)
    return SysError{"give the XDP program a socket", errno};
  return std::nullopt;
}

void Program::clear_socket(unsigned queue) {
  ::bpf_map_delete_elem(::bpf_map__fd(state_->skeleton().maps.fg_sockets), &queue);
}

void Program::set_tunnel_ports(std::uint16_t v4, std::uint16_t v6) {
  state_->skeleton().bss->port_v4 = htons(v4);
  state_->skeleton().bss->port_v6 = htons(v6);
}

std::optional<SysError> Program::set_addresses(std::span<const IpAddress> addresses) {
  return state_->addresses.assign(::bpf_map__fd(state_->skeleton().maps.fg_addresses), addresses,
                                  kAddressesMax);
}

std::optional<SysError> Program::set_relays(std::span<const SocketAddress> relays) {
  return state_->relays.assign(::bpf_map__fd(state_->skeleton().maps.fg_relays), relays,
                               kRelaysMax);
}

VerdictCounters Program::counters() const {
  VerdictCounters sum;
  const int cpus = ::libbpf_num_possible_cpus();
  if (cpus <= 0) return sum;
  static_assert(sizeof(fg_xdp_counters) % 8 == 0, "the kernel rounds each CPU's value up to eight");
  std::vector<fg_xdp_counters> each(static_cast<std::size_t>(cpus));
  const std::uint32_t zero = 0;
  if (::bpf_map_lookup_elem(::bpf_map__fd(state_->skeleton().maps.fg_verdicts), &zero,
                            each.data()) != 0)
    return sum;
  for (const auto& cpu : each) {
    for (std::size_t i = 0; i < VerdictCounters::kCount; ++i) sum.of[i] += cpu.of[i];
  }
  return sum;
}

int Program::descriptor() const { return ::bpf_program__fd(state_->skeleton().progs.firegate_xdp); }

}  // namespace fg::io::xdp
