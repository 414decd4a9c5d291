#include "control/turn/requests.h"

#include <algorithm>

namespace fg::turn {
namespace {

constexpr std::uint8_t kSendsMax = 4;  // spec connectivity 3.5, BC

std::uint8_t sends_max(Request::Kind kind) {
  return kind == Request::Kind::proactive_refresh ? 1 : kSendsMax;
}

// From the n-th send (first: 1) to the next: 1 s, growing by half.
Duration interval_after(std::uint8_t send) {
  Duration interval = 1s;
  for (int i = 1; i < send; ++i) interval = interval * 3 / 2;
  return interval;
}

}  // namespace

stun::Method method_of(Request::Kind kind) {
  switch (kind) {
    case Request::Kind::binding:
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
  request.due = now + interval_after(1);
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
      if (r.sends >= sends_max(r.kind)) return Due{.what = Due::What::give_up, .index = i};
      ++r.sends;
      r.due += interval_after(r.sends);
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

bool Requests::has(Request::Kind kind) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const Request& r) { return r.kind == kind; });
}

bool Requests::has(const stun::TransactionId& id) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const Request& r) { return r.id == id; });
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
