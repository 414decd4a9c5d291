#include "control/turn/requests.h"

#include <algorithm>
#include <array>
#include <span>

namespace fg::turn {
namespace {

// Sends after the first, and the end, counted from the first (spec connectivity 3.5, BC).
constexpr std::array kOrdinary{Duration{1s}, Duration{2500ms}, Duration{4750ms}, Duration{8125ms}};
constexpr std::array kProactive{Duration{1s}};
constexpr std::array kConfirm{Duration{200ms},  Duration{400ms},  Duration{600ms},
                              Duration{800ms},  Duration{1500ms}, Duration{2500ms},
                              Duration{4750ms}, Duration{8125ms}};

std::span<const Duration> schedule_of(Request::Kind kind) {
  if (kind == Request::Kind::proactive_refresh) return kProactive;
  if (kind == Request::Kind::confirm) return kConfirm;
  return kOrdinary;
}

}  // namespace

stun::Method method_of(Request::Kind kind) {
  switch (kind) {
    case Request::Kind::binding:
    case Request::Kind::confirm:
    case Request::Kind::probe:
      return stun::Method::binding;
    case Request::Kind::allocate:
      return stun::Method::allocate;
    case Request::Kind::refresh:
    case Request::Kind::proactive_refresh:
    case Request::Kind::remove:
      return stun::Method::refresh;
    case Request::Kind::channel_bind:
      return stun::Method::channel_bind;
  }
  return stun::Method::binding;
}

Request& Requests::add(Request request, Instant now) {
  request.sends = 1;
  request.first_sent = now;
  request.due = now + schedule_of(request.kind).front();
  return requests_.emplace_back(request);
}

std::optional<std::size_t> Requests::find(const stun::TransactionId& id, stun::Method method,
                                          const SocketAddress& to) const {
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    const Request& r = requests_[i];
    if (r.id == id && method_of(r.kind) == method && r.to == to) return i;
  }
  return std::nullopt;
}

std::optional<Requests::Due> Requests::next_due(Instant now) {
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    Request& r = requests_[i];
    if (r.due > now) continue;
    while (r.due <= now) {
      const auto schedule = schedule_of(r.kind);
      if (r.sends >= schedule.size()) return Due{.what = Due::What::give_up, .index = i};
      r.due = r.first_sent + schedule[r.sends];
      ++r.sends;
    }
    return Due{.what = Due::What::resend, .index = i};
  }
  return std::nullopt;
}

Request Requests::remove(std::size_t index) {
  const Request request = requests_[index];
  requests_.erase(requests_.begin() + static_cast<std::ptrdiff_t>(index));
  return request;
}

void Requests::remove(Request::Kind kind) {
  std::erase_if(requests_, [&](const Request& r) { return r.kind == kind; });
}

bool Requests::has(Request::Kind kind) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const Request& r) { return r.kind == kind; });
}

bool Requests::has(const stun::TransactionId& id) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const Request& r) { return r.id == id; });
}

bool Requests::has_binding_to(const SocketAddress& server) const {
  return std::any_of(requests_.begin(), requests_.end(), [&](const Request& r) {
    return method_of(r.kind) == stun::Method::binding && r.to == server;
  });
}

bool Requests::has_bind_for(const SocketAddress& peer) const {
  return std::any_of(requests_.begin(), requests_.end(), [&](const Request& r) {
    return r.kind == Request::Kind::channel_bind && r.peer == peer;
  });
}

std::optional<Instant> Requests::next() const {
  std::optional<Instant> first;
  for (const Request& r : requests_) {
    if (!first || r.due < *first) first = r.due;
  }
  return first;
}

}  // namespace fg::turn
