// Binding requests and responses (spec connectivity 2.1–2.4, 2.13, 2.14).
#include <algorithm>
#include <array>

#include "control/ice/agent.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"

namespace fg::ice {

std::optional<DropReason> Agent::on_message(const stun::Message& message,
                                            const SocketAddress& local, const SocketAddress& remote,
                                            Instant now) {
  if (failed_ || !remote_credentials_) return DropReason::unknown_stun;
  std::optional<DropReason> dropped = DropReason::unknown_stun;
  if (message.is(stun::Method::binding, stun::Class::request))
    dropped = on_request(message, local, remote, now);
  if (message.is(stun::Method::binding, stun::Class::success)) dropped = on_success(message, now);
  if (!dropped) settle(now);
  return dropped;
}

void Agent::on_data(const SocketAddress& local, const SocketAddress& remote, Instant now) {
  if (failed_) return;
  if (auto* pair = checklist_.find(local, remote)) on_heard(*pair, now);
  settle(now);
}

std::optional<DropReason> Agent::on_request(const stun::Message& message,
                                            const SocketAddress& local, const SocketAddress& remote,
                                            Instant now) {
  if (const auto refused = authenticate(message)) return refused;
  const auto* destination = find_local(local);
  if (destination == nullptr) return DropReason::unknown_stun;
  if (!resolve_conflict(message)) {
    send_conflict(message, *destination, remote);
    return std::nullopt;
  }
  if (role_ == Role::controlling && message.use_candidate()) return DropReason::unknown_stun;

  auto* pair = pair_of_request(*destination, remote, message.priority().value_or(0));
  if (pair == nullptr) return DropReason::unknown_stun;
  pair->last_request = now;
  on_heard(*pair, now);
  if (withdrawn_ && std::find(withdrawn_->pairs.begin(), withdrawn_->pairs.end(), pair->id) !=
                        withdrawn_->pairs.end())
    restore();
  if (message.use_candidate()) {
    if (pair->nominated == 0) checklist_.nominate(*pair, now);
    checklist_.on_use_candidate(*pair);
  }
  send_success(message, *destination, remote);
  return std::nullopt;
}

// Spec connectivity 2.2: our ufrag, the password, the peer's ufrag.
std::optional<DropReason> Agent::authenticate(const stun::Message& request) const {
  const auto username = request.username();
  if (!username || !request.has_integrity() || !request.priority())
    return DropReason::malformed_stun;
  const auto colon = username->find(':');
  if (colon == std::string_view::npos || colon + 1 == username->size())
    return DropReason::malformed_stun;
  if (username->substr(0, colon) != local_credentials_.ufrag) return DropReason::unknown_stun;
  if (!request.verify_integrity(stun::short_term_key(local_credentials_.password))) {
    return DropReason::bad_stun_integrity;
  }
  if (username->substr(colon + 1) != remote_credentials_->ufrag) return DropReason::unknown_stun;
  return std::nullopt;
}

// False: the peer must give in. Differs from RFC 8445 §7.3.1.1, which decides by role; the
// originals compare the tie-breakers only (spec connectivity 2.4).
bool Agent::resolve_conflict(const stun::Message& request) {
  const auto theirs =
      role_ == Role::controlled ? request.ice_controlled() : request.ice_controlling();
  if (!theirs) return true;
  if (tie_breaker_ >= *theirs) return false;
  role_ = role_ == Role::controlled ? Role::controlling : Role::controlled;
  checklist_.set_role(role_);
  return true;
}

Pair* Agent::pair_of_request(const Local& local, const SocketAddress& source,
                             std::uint32_t priority) {
  const Remote* remote = nullptr;
  bool is_discarded = false;
  for (const auto& known : remotes_) {
    if (known.candidate.address != source) continue;
    is_discarded = is_discarded || known.discarded;
    if (known.discarded) continue;
    if (remote == nullptr || known.candidate.priority > remote->candidate.priority) remote = &known;
  }
  if (remote == nullptr && is_discarded) return nullptr;
  if (remote == nullptr) remote = insert_prflx(source, priority);
  if (remote == nullptr) return nullptr;
  if (auto* known = checklist_.find(local.candidate.base, source)) return known;
  auto* pair = checklist_.add(end_of(local), end_of(*remote));
  if (pair == nullptr) forget_unpaired_prflx();
  return pair;
}

std::optional<DropReason> Agent::on_success(const stun::Message& message, Instant now) {
  const auto mapped = message.xor_mapped_address();
  if (!mapped || !message.has_integrity()) return DropReason::malformed_stun;
  const auto transaction = message.transaction();
  auto* pair = checklist_.find(transaction);
  if (pair == nullptr) return DropReason::unknown_stun;
  if (!message.verify_integrity(stun::short_term_key(remote_credentials_->password))) {
    return DropReason::bad_stun_integrity;
  }
  if (!pair->checks.on_success(transaction)) return DropReason::unknown_stun;
  pair->succeeded = true;
  pair->last_answer = now;
  on_heard(*pair, now);
  learn_local_prflx(pair->local, *mapped);
  return std::nullopt;
}

std::optional<Repeatable> Agent::repeatable(const stun::Message& request,
                                            const SocketAddress& local,
                                            const SocketAddress& remote) {
  if (failed_ || withdrawn_ || is_doubting() || role_ != Role::controlled ||
      !request.is(stun::Method::binding, stun::Class::request) || !request.ends_sealed())
    return std::nullopt;
  const auto* destination = find_local(local);
  const auto* pair =
      destination != nullptr ? checklist_.find(destination->candidate.base, remote) : nullptr;
  if (pair == nullptr) return std::nullopt;
  return Repeatable{pair->id, request.use_candidate()};
}

bool Agent::on_repeated(const Repeatable& check, Instant at) {
  auto* pair = failed_ || withdrawn_ ? nullptr : checklist_.find(check.pair);
  if (pair == nullptr || (check.nominates && pair->nominated == 0)) return false;
  pair->last_request = std::max(pair->last_request.value_or(at), at);
  if (at >= last_heard_) on_heard(*pair, at);
  if (check.nominates) checklist_.on_use_candidate(*pair);
  settle(at);
  return true;
}

// ---- sending ----

// A peer makes a candidate of an unknown source with the priority its check carries, and a
// controlling one leaves a nominated pair only for a better. So an own address that replaced
// another outranks what it replaced: the peer follows at once, also while the portal, which would
// tell it, is out of reach.
std::uint32_t Agent::priority_in_check(const Pair& pair) const {
  constexpr std::uint32_t kAboveHost = 127;
  std::uint32_t replaced = 0;
  if (pair.local.kind == CandidateKind::host) {
    for (const auto& local : locals_) {
      if (local.discarded && local.id < pair.local.id && local.candidate.kind == pair.local.kind &&
          local.candidate.address.family() == pair.local.address.family())
        ++replaced;
    }
  }
  if (replaced == 0) return check_priority(pair.local.priority);
  return kAboveHost << 24 | replaced << 8 | (pair.local.priority & 0xFF);
}

void Agent::send_check(Pair& pair, Instant now) {
  stun::TransactionId transaction{};
  random_.fill(transaction);
  pair.checks.on_sent(transaction, profile_, now);

  const auto username = remote_credentials_->ufrag + ':' + local_credentials_.ufrag;
  if (username.size() > kEmittedUsernameMax) return;
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::request, transaction};
  builder.username(username);
  if (role_ == Role::controlling) {
    builder.ice_controlling(tie_breaker_);
  } else {
    builder.ice_controlled(tie_breaker_);
  }
  builder.priority(priority_in_check(pair));
  if (role_ == Role::controlling && pair.nominated != 0) builder.use_candidate();
  builder.integrity(stun::short_term_key(remote_credentials_->password)).fingerprint();
  if (const auto bytes = builder.finish()) {
    push_transmit({.local = pair.local.address,
                   .remote = pair.remote.address,
                   .relayed = pair.local.kind == CandidateKind::relay,
                   .transaction = transaction,
                   .bytes = copy_of(*bytes)});
  }
}

void Agent::send_success(const stun::Message& request, const Local& local,
                         const SocketAddress& remote) {
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::success, request.transaction()};
  builder.xor_mapped_address(remote);
  reply(builder, local, remote);
}

std::optional<ByteVector> Agent::standing_answer(const SocketAddress& remote) const {
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::success, {}};
  builder.xor_mapped_address(remote)
      .integrity(stun::short_term_key(local_credentials_.password))
      .fingerprint();
  const auto bytes = builder.finish();
  return bytes ? std::optional{copy_of(*bytes)} : std::nullopt;
}

void Agent::send_conflict(const stun::Message& request, const Local& local,
                          const SocketAddress& remote) {
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::error, request.transaction()};
  builder.error_code(487, "Role Conflict");  // RFC 8445 §7.3.1.1
  reply(builder, local, remote);
}

void Agent::reply(stun::Builder& builder, const Local& local, const SocketAddress& remote) {
  builder.integrity(stun::short_term_key(local_credentials_.password)).fingerprint();
  if (const auto bytes = builder.finish()) {
    push_transmit({.local = local.candidate.base,
                   .remote = remote,
                   .relayed = local.candidate.kind == CandidateKind::relay,
                   .transaction = std::nullopt,
                   .bytes = copy_of(*bytes)});
  }
}

}  // namespace fg::ice
