// Which connection a STUN message belongs to, found in constant time and before any HMAC (spec
// connectivity 2.12). Requests go by both ufrags, because a local ufrag alone has only 20 bits and
// two connections can share one; responses go by the transaction id of the check. Key is whatever
// the owner calls a connection: small and copyable.
//
// Entries of transactions are not removed with their connection; they expire, and an agent that did
// not send the check refuses the response anyway.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "control/stun/message.h"

namespace fg::ice {

inline constexpr Duration kTransactionLifetime = 10s;  // spec connectivity 2.12

template <class Key>
class Dispatch {
 public:
  struct Limits {
    std::size_t connections_max = 1U << 16;
    std::size_t transactions_max = 1U << 17;
  };
  Dispatch() : Dispatch(Limits{}) {}
  explicit Dispatch(const Limits& limits) : limits_(limits) {}

  // ---- requests ----

  // False: full, or known already.
  bool add(std::string_view local_ufrag, std::string_view remote_ufrag, Key key) {
    if (connections_ >= limits_.connections_max) return false;
    auto& keys = by_username_[username_of(local_ufrag, remote_ufrag)];
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) return false;
    keys.push_back(key);
    ++connections_;
    return true;
  }
  bool remove(std::string_view local_ufrag, std::string_view remote_ufrag, Key key) {
    const auto entry = by_username_.find(username_of(local_ufrag, remote_ufrag));
    if (entry == by_username_.end() || std::erase(entry->second, key) == 0) return false;
    if (entry->second.empty()) by_username_.erase(entry);
    --connections_;
    return true;
  }
  // USERNAME of a request as it came. More than one only when both ufrags collide: ask each until
  // one accepts.
  [[nodiscard]] std::span<const Key> find(std::string_view username) const {
    const auto entry = by_username_.find(username);
    return entry == by_username_.end() ? std::span<const Key>{}
                                       : std::span<const Key>{entry->second};
  }

  // ---- responses ----

  void on_check_sent(const stun::TransactionId& transaction, Key key, Instant now) {
    on_timeout(now);
    if (expiries_.size() >= limits_.transactions_max) {
      ++overflows_;
      drop_oldest();
    }
    by_transaction_.insert_or_assign(transaction, Pending{key, now + kTransactionLifetime});
    expiries_.push_back({transaction, now + kTransactionLifetime});
  }
  // Once: the entry is gone afterwards.
  std::optional<Key> take(const stun::TransactionId& transaction, Instant now) {
    const auto entry = by_transaction_.find(transaction);
    if (entry == by_transaction_.end()) return std::nullopt;
    const auto pending = entry->second;
    by_transaction_.erase(entry);
    if (pending.expires <= now) return std::nullopt;
    return pending.key;
  }
  // Frees memory only, so there is no wakeup.
  void on_timeout(Instant now) {
    while (!expiries_.empty() && expiries_.front().expires <= now) drop_oldest();
  }

  [[nodiscard]] std::size_t connections() const { return connections_; }
  [[nodiscard]] std::size_t transactions() const { return by_transaction_.size(); }
  [[nodiscard]] std::uint64_t overflows() const { return overflows_; }

 private:
  struct Pending {
    Key key;
    Instant expires;
  };
  struct Expiry {
    stun::TransactionId transaction;
    Instant expires;
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  // Ids in the table are our own random ones, so a few of their bytes are a hash.
  struct TransactionHash {
    std::size_t operator()(const stun::TransactionId& id) const noexcept {
      return static_cast<std::size_t>(load_le64(id.data()) ^ load_le32(id.data() + 8));
    }
  };

  // What the peer puts into USERNAME: the receiver's ufrag first.
  static std::string username_of(std::string_view local_ufrag, std::string_view remote_ufrag) {
    std::string out{local_ufrag};
    out += ':';
    out += remote_ufrag;
    return out;
  }
  void drop_oldest() {
    const auto& oldest = expiries_.front();
    const auto entry = by_transaction_.find(oldest.transaction);
    if (entry != by_transaction_.end() && entry->second.expires == oldest.expires)
      by_transaction_.erase(entry);
    expiries_.pop_front();
  }

  Limits limits_;
  std::unordered_map<std::string, std::vector<Key>, TextHash, std::equal_to<>> by_username_;
  std::size_t connections_ = 0;
  std::unordered_map<stun::TransactionId, Pending, TransactionHash> by_transaction_;
  std::deque<Expiry> expiries_;  // oldest first: all live equally long
  std::uint64_t overflows_ = 0;
};

}  // namespace fg::ice
