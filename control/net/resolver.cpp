#include "control/net/resolver.h"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "control/net/boot_timer.h"
#include "control/net/file_version.h"

namespace fg::net {
namespace {

namespace asio = boost::asio;

constexpr int kTryTimeoutMs = 2000;  // a server's first try; c-ares doubles it a round
constexpr int kTries = 3;

// A socket of c-ares in the reactor. c-ares opens and closes it; here it is only waited for.
struct Socket : std::enable_shared_from_this<Socket> {
  Socket(asio::io_context& context, int fd, ares_channel owner)
      : descriptor(context, fd), channel(owner) {}

  void set(bool readable, bool writable) {
    wants_read = readable;
    wants_write = writable;
    arm();
  }
  void arm() {
    if (wants_read && !waits_read) wait(true);
    if (wants_write && !waits_write) wait(false);
  }
  void wait(bool read) {
    (read ? waits_read : waits_write) = true;
    descriptor.async_wait(
        read ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write,
        [self = shared_from_this(), read](const boost::system::error_code& error) {
          (read ? self->waits_read : self->waits_write) = false;
          if (error || !self->is_open) return;
          const auto fd = self->descriptor.native_handle();
          ares_process_fd(self->channel, read ? fd : ARES_SOCKET_BAD, read ? ARES_SOCKET_BAD : fd);
          if (self->is_open) self->after_event();
        });
  }
  void end() {
    is_open = false;
    (void)descriptor.release();
  }
  void after_event() { arm(); }

  asio::posix::stream_descriptor descriptor;
  ares_channel channel;
  bool wants_read = false;
  bool wants_write = false;
  bool waits_read = false;
  bool waits_write = false;
  bool is_open = true;
};

int mark_socket(ares_socket_t fd, int /*type*/, void* data) {
  const auto mark = *static_cast<const std::uint32_t*>(data);
  // Without the capability for it an unmarked lookup is better than none.
  (void)::setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
  return 0;
}

std::optional<IpAddress> address_of(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return IpAddress::v4(bytes);
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return IpAddress::v6(bytes);
  }
  return std::nullopt;
}

// One configuration of c-ares with its sockets. Replaced when resolv.conf changes; dies with its
// last lookup.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  struct Found {
    std::vector<IpAddress> addresses;
    bool is_answer = false;  // somebody knows: an empty list means that there are none
    std::string error;
    std::chrono::seconds ttl{};  // of the shortest-lived address; 0: not from a name server
  };
  using Callback = std::function<void(Found)>;

  Channel(asio::io_context& context, const ResolverOptions& options)
      : context_(context), timer_(context, [this] { on_timeout(); }), mark_(options.mark) {
    ares_options wanted{};
    wanted.timeout = kTryTimeoutMs;
    wanted.tries = kTries;
    wanted.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<Channel*>(self)->on_socket_state(fd, readable != 0, writable != 0);
    };
    wanted.sock_state_cb_data = this;
    std::string path = options.resolv_conf;
    wanted.resolvconf_path = path.data();
    const int mask =
        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
    status_ = ares_init_options(&channel_, &wanted, mask);
    if (status_ != ARES_SUCCESS) return;
    if (mark_ != 0) ares_set_socket_configure_callback(channel_, mark_socket, &mark_);
    std::string servers;
    for (const auto& server : options.servers)
      servers += (servers.empty() ? "" : ",") + server.to_string();
    if (!servers.empty()) status_ = ares_set_servers_ports_csv(channel_, servers.c_str());
  }
  ~Channel() {
    if (channel_ != nullptr) ares_destroy(channel_);
    for (auto& [fd, socket] : sockets_) socket->end();
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // One family's question.
  void resolve(const std::string& name, int family, Callback callback) {
    auto lookup = std::make_unique<Lookup>(Lookup{shared_from_this(), std::move(callback)});
    if (status_ != ARES_SUCCESS) {
      finish(std::move(lookup), {{}, false, ares_strerror(status_), {}});
      return;
    }
    ares_addrinfo_hints hints{};
    hints.ai_family = family;
    hints.ai_flags = ARES_AI_NOSORT;
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, on_answer, lookup.release());
    arm_timer();
  }
  void cancel() {
    if (channel_ != nullptr) ares_cancel(channel_);
    timer_.set(std::nullopt);
  }

 private:
  struct Lookup {
    std::shared_ptr<Channel> channel;  // keeps it alive until the answer
    Callback callback;
  };

  static void on_answer(void* argument, int status, int /*timeouts*/, ares_addrinfo* info) {
    std::unique_ptr<Lookup> lookup{static_cast<Lookup*>(argument)};
    const std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> owned{info, ares_freeaddrinfo};
    if (status != ARES_SUCCESS) {
      const bool is_answer = status == ARES_ENODATA || status == ARES_ENOTFOUND;
      finish(std::move(lookup), {{}, is_answer, ares_strerror(status), {}});
      return;
    }
    Found found;
    found.is_answer = true;
    std::optional<int> ttl;
    for (const auto* node = info->nodes; node != nullptr && found.addresses.size() < kAddressesMax;
         node = node->ai_next) {
      const auto address = address_of(*node->ai_addr);
      if (!address) continue;
      found.addresses.push_back(*address);
      ttl = std::min(ttl.value_or(node->ai_ttl), node->ai_ttl);
    }
    found.ttl = std::chrono::seconds{std::max(0, ttl.value_or(0))};
    finish(std::move(lookup), std::move(found));
  }
  // In a later turn: c-ares is in the middle of its work, and the caller may be in resolve().
  static void finish(std::unique_ptr<Lookup> lookup, Found found) {
    auto& context = lookup->channel->context_;
    asio::post(context,
               [lookup = std::shared_ptr<Lookup>{std::move(lookup)},
                found = std::move(found)]() mutable { lookup->callback(std::move(found)); });
  }

  void on_socket_state(ares_socket_t fd, bool readable, bool writable) {
    auto at = sockets_.find(fd);
    if (!readable && !writable) {
      if (at == sockets_.end()) return;
      at->second->end();
      sockets_.erase(at);
      return;
    }
    if (at == sockets_.end())
      at = sockets_.emplace(fd, std::make_shared<Socket>(context_, fd, channel_)).first;
    at->second->set(readable, writable);
  }
  void on_timeout() {
    const auto self = shared_from_this();
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer();
  }
  // Lookups are few: waking up for c-ares' earliest deadline while any is open is enough, also when
  // an answer came first.
  void arm_timer() {
    timeval wait{};
    if (ares_timeout(channel_, nullptr, &wait) == nullptr) {
      timer_.set(std::nullopt);
      return;
    }
    timer_.set(boot_now() + std::chrono::seconds{wait.tv_sec} +
               std::chrono::microseconds{wait.tv_usec});
  }

  asio::io_context& context_;
  BootTimer timer_;
  std::uint32_t mark_;
  ares_channel channel_ = nullptr;
  int status_ = ARES_SUCCESS;
  std::map<ares_socket_t, std::shared_ptr<Socket>> sockets_;
};

// Both families of a name.
struct LookedUp {
  dns::Resolved resolved;
  std::string error;  // the newest
};
enum class Patience : std::uint8_t { full, first_best, bounded };

}  // namespace

struct Resolver::Impl : std::enable_shared_from_this<Resolver::Impl> {
  Impl(Loop& l, ResolverOptions o) : loop(l), options(std::move(o)) {}

  void start(const std::string& name, std::function<void(LookedUp)> callback, Patience patience);
  void forget_if_changed();
  [[nodiscard]] const dns::Resolved* cached(const std::string& name);
  void cache(const std::string& name, const dns::Resolved& resolved, Duration ttl);

  struct Cached {
    dns::Resolved resolved;
    Instant until;
  };

  Loop& loop;
  ResolverOptions options;
  std::array<FileVersion, 2> version{};
  std::shared_ptr<Channel> channel;
  std::map<std::string, Cached> names;
};

namespace {

// Both questions about one name, until there is an answer for the asker.
struct Both {
  explicit Both(Loop& loop) : timer(loop.context(), [this] { answer(); }) {}

  void on_found(Family family, Channel::Found one, Instant now) {
    if (!one.addresses.empty()) {
      ttl = std::min(ttl, Duration{one.ttl});
      has_address = true;
    } else {
      found.error = std::move(one.error);
    }
    if (one.is_answer)
      (family == Family::v4 ? found.resolved.v4 : found.resolved.v6) = std::move(one.addresses);
    if (--open == 0) {
      if (found.resolved.v4 && found.resolved.v6)
        on_complete(found.resolved, has_address ? ttl : kNegativeTtl);
      answer();
    } else if (is_hurried && has_address) {
      timer.set(now + kOtherFamilyWait);
    }
  }
  void answer() {
    timer.set(std::nullopt);
    if (callback) std::exchange(callback, {})(found);
  }

  BootTimer timer;
  std::function<void(LookedUp)> callback;
  std::function<void(const dns::Resolved&, Duration)> on_complete;
  bool is_hurried = false;
  bool has_address = false;
  int open = 2;
  LookedUp found;
  Duration ttl = kCachedMax;
};

}  // namespace

void Resolver::Impl::forget_if_changed() {
  const std::array now{version_of(options.resolv_conf), version_of(options.hosts)};
  if (channel && now == version) return;
  version = now;
  channel = std::make_shared<Channel>(loop.context(), options);
  names.clear();
}

const dns::Resolved* Resolver::Impl::cached(const std::string& name) {
  const auto at = names.find(name);
  if (at == names.end()) return nullptr;
  if (at->second.until > loop.now()) return &at->second.resolved;
  names.erase(at);
  return nullptr;
}

void Resolver::Impl::cache(const std::string& name, const dns::Resolved& resolved, Duration ttl) {
  if (ttl <= Duration{}) return;
  if (names.size() >= kCachedNamesMax && !names.contains(name)) {
    names.erase(std::min_element(names.begin(), names.end(), [](const auto& a, const auto& b) {
      return a.second.until < b.second.until;
    }));
  }
  names.insert_or_assign(name, Cached{resolved, loop.now() + ttl});
}

Resolver::Resolver(Loop& loop, ResolverOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {
  static const int kInitialised = ares_library_init(ARES_LIB_INIT_ALL);
  (void)kInitialised;
}

Resolver::~Resolver() {
  if (impl_->channel) impl_->channel->cancel();
}

void Resolver::Impl::start(const std::string& name, std::function<void(LookedUp)> callback,
                           Patience patience) {
  // The caller's callback must not outlive us.
  auto guarded = [weak = weak_from_this(), callback = std::move(callback)](const LookedUp& found) {
    if (!weak.expired()) callback(found);
  };
  if (const auto literal = IpAddress::parse(name)) {
    dns::Resolved resolved{std::vector<IpAddress>{}, std::vector<IpAddress>{}};
    (literal->is_v4() ? resolved.v4 : resolved.v6)->push_back(*literal);
    loop.post([guarded, resolved] { guarded(LookedUp{resolved, {}}); });
    return;
  }
  forget_if_changed();
  if (const auto* known = cached(name)) {
    loop.post([guarded, resolved = *known] { guarded(LookedUp{resolved, {}}); });
    return;
  }
  auto both = std::make_shared<Both>(loop);
  both->callback = std::move(guarded);
  both->is_hurried = patience == Patience::first_best;
  both->on_complete = [weak = weak_from_this(), name](const dns::Resolved& resolved, Duration ttl) {
    if (const auto impl = weak.lock()) impl->cache(name, resolved, ttl);
  };
  if (patience == Patience::bounded) both->timer.set(loop.now() + kLookUpTime);
  for (const auto family : {Family::v6, Family::v4}) {
    channel->resolve(name, family == Family::v6 ? AF_INET6 : AF_INET,
                     [both, family, &loop = loop](Channel::Found found) {
                       both->on_found(family, std::move(found), loop.now());
                     });
  }
}

void Resolver::resolve(const std::string& name, std::function<void(Answer)> callback,
                       Families families) {
  impl_->start(
      name,
      [callback = std::move(callback)](const LookedUp& found) {
        auto addresses = found.resolved.all();
        if (addresses.empty()) {
          callback(fail(found.error.empty() ? "no addresses" : found.error));
        } else {
          callback(std::move(addresses));
        }
      },
      families == Families::both ? Patience::full : Patience::first_best);
}

void Resolver::look_up(const std::string& name, std::function<void(dns::Resolved)> callback) {
  impl_->start(
      name,
      [callback = std::move(callback)](LookedUp found) { callback(std::move(found.resolved)); },
      Patience::bounded);
}

}  // namespace fg::net
