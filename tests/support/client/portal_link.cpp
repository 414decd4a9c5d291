#include "tests/support/client/portal_link.h"

#include <utility>

#include "control/portal/retry_after.h"

namespace fg::client {
namespace {

// A headless client never gives up once it has joined (spec portal 5.1).
constexpr Duration kPartitionTimeMax = std::chrono::hours{24 * 365 * 100};

}  // namespace

PortalLink::PortalLink(net::Loop& loop, net::Resolver& resolver, Random& random, Log log,
                       LoginOptions options, std::uint32_t mark, PortalCallbacks callbacks)
    : loop_(loop),
      resolver_(resolver),
      random_(random),
      log_(log),
      options_(std::move(options)),
      mark_(mark),
      callbacks_(std::move(callbacks)),
      channel_(options_.generation, std::move(log)),
      backoff_(random, kPartitionTimeMax),
      channel_timer_(loop.context(),
                     [this] {
                       channel_.on_timeout(loop_.now());
                       pump();
                     }),
      retry_timer_(loop.context(), [this] { connect(); }) {}

void PortalLink::dial(const PublicKey& public_key) {
  public_key_ = public_key;
  retry_timer_.set(std::nullopt);
  if (socket_) {
    leaving_ = std::move(socket_);
    leaving_->close([] {});
  }
  channel_.on_closed();
  backoff_ = portal::Backoff{random_, kPartitionTimeMax};
  connect();
}

void PortalLink::connect() {
  if (is_ended_) return;
  if (!tls_) {
    auto created = net::TlsContext::create("");
    if (!created) return end(created.error());
    tls_ = *created;
  }
  socket_ = std::make_unique<net::WebSocket>(loop_, resolver_, tls_, log_, mark_);
  net::WebSocket::Callbacks to;
  to.on_open = [this] {
    channel_.on_open(loop_.now());
    pump();
  };
  to.on_refused = [this](const portal::UpgradeRefusal& refusal) {
    const auto reason = "HTTP status " + std::to_string(refusal.status);
    if (is_fatal(options_.generation, refusal.status)) return end(reason);
    const bool waits = options_.generation != Generation::a && refusal.retry_after;
    lose(reason,
         waits ? portal::parse_retry_after(*refusal.retry_after, loop_.wall_now()) : std::nullopt);
  };
  to.on_lost = [this](const std::string& reason) { lose(reason); };
  to.on_oversized = [this] { lose("portal sent too much at once"); };
  to.on_text = [this](std::string_view text) {
    channel_.on_text(text, loop_.now());
    pump();
  };
  to.on_writable = [this] { pump(); };
  socket_->connect(upgrade_request(options_, public_key_), std::move(to));
}

void PortalLink::lose(const std::string& reason, std::optional<Duration> retry_after) {
  if (is_ended_) return;
  channel_.on_closed();
  channel_timer_.set(std::nullopt);
  auto delay = backoff_.next(retry_after);
  if (!delay) {
    // A goes on before its first join, too (spec portal 1.6).
    if (options_.generation != Generation::a) return end("giving up: " + reason);
    delay = portal::kFirstJoinDelay;
  }
  retry_timer_.set(loop_.now() + *delay);
  callbacks_.on_lost(reason);
}

void PortalLink::end(const std::string& reason) {
  is_ended_ = true;
  channel_.on_closed();
  callbacks_.on_fatal(reason);
}

void PortalLink::send(portal::Message message, std::optional<Tag> tag) {
  channel_.send(std::move(message), tag);
  pump();
}

void PortalLink::pump() {
  while (auto event = channel_.poll_event()) {
    if (std::holds_alternative<Channel::Joined>(*event)) {
      backoff_.on_joined();
      callbacks_.on_joined();
    } else if (const auto* failed = std::get_if<Channel::Failed>(&*event)) {
      if (socket_) socket_->drop();
      failed->is_fatal ? end(failed->reason) : lose(failed->reason);
    } else if (const auto* replied = std::get_if<Channel::Replied>(&*event)) {
      callbacks_.on_reply(*replied);
    } else if (const auto* received = std::get_if<Channel::Received>(&*event)) {
      auto message = parse(received->event, received->payload);
      if (message)
        callbacks_.on_message(std::move(*message));
      else
        log_.warn("portal message dropped", {{"event", received->event}});
    }
  }
  if (socket_ && socket_->is_writable()) {
    if (auto text = channel_.poll_text()) socket_->write(std::move(*text));
  }
  const auto wakeup = channel_.wakeup();
  channel_timer_.set(wakeup ? std::optional{wakeup->at} : std::nullopt);
}

void PortalLink::shut_down(std::function<void()> done) {
  is_ended_ = true;
  retry_timer_.set(std::nullopt);
  channel_timer_.set(std::nullopt);
  if (socket_)
    socket_->close(std::move(done));
  else
    loop_.post(std::move(done));
}

}  // namespace fg::client
