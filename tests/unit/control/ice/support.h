// One agent under glass: hand-made requests and responses with the credentials of spec
// connectivity 10.1.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/ice/agent.h"
#include "control/stun/builder.h"

namespace fg::ice::testing {

inline const Instant kStart{1000s};

inline SocketAddress at(std::string_view text) { return *SocketAddress::parse(text); }

inline Credentials gateway_credentials() { return {"qhpm", SecretText{"kvpwadif6734sdalah6lja"}}; }
inline Credentials client_credentials() { return {"mp5g", SecretText{"3bge3cho6ue5a4xiy6p34m"}}; }

inline Agent::Options gateway_options() {
  return {Role::controlled, gateway_credentials(), client_credentials(), kServerDefault,
          LineForm::standard};
}
inline Agent::Options client_options() {
  return {Role::controlling, client_credentials(), gateway_credentials(), kClientDefault,
          LineForm::standard};
}

inline std::string line(std::string_view kind, std::string_view address, std::uint32_t priority,
                        std::string_view extra = "") {
  const auto socket = at(address);
  std::string out = "candidate:1 1 udp " + std::to_string(priority) + ' ' + socket.ip.to_string() +
                    ' ' + std::to_string(socket.port) + " typ ";
  return out.append(kind).append(extra);
}
inline std::string host_line(std::string_view address) { return line("host", address, 2130706175); }
inline std::string srflx_line(std::string_view address) {
  return line("srflx", address, 1686109951, " raddr 0.0.0.0 rport 0 ufrag mp5g");
}
inline std::string relay_line(std::string_view address) {
  return line("relay", address, 37748479, " raddr 0.0.0.0 rport 0 ufrag mp5g");
}

// A request of the client; every part can be wrong.
struct Request {
  std::string username = "qhpm:mp5g";
  std::string password = "kvpwadif6734sdalah6lja";
  std::optional<std::uint32_t> priority = 1862270719;
  bool use_candidate = false;
  bool with_integrity = true;
  bool claims_controlled = false;
  std::uint64_t tie_breaker = 0x0102030405060708;
  stun::Class type_class = stun::Class::request;
  stun::TransactionId transaction{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

  [[nodiscard]] ByteVector bytes() const {
    std::array<std::uint8_t, stun::kMessageMax> buffer{};
    stun::Builder builder{buffer, stun::Method::binding, type_class, transaction};
    if (!username.empty()) builder.username(username);
    if (claims_controlled) {
      builder.ice_controlled(tie_breaker);
    } else {
      builder.ice_controlling(tie_breaker);
    }
    if (priority) builder.priority(*priority);
    if (use_candidate) builder.use_candidate();
    if (with_integrity) builder.integrity(as_bytes(password));
    builder.fingerprint();
    return copy_of(*builder.finish());
  }
};

inline ByteVector success(const stun::TransactionId& transaction, const SocketAddress& mapped,
                          std::string_view password = "3bge3cho6ue5a4xiy6p34m") {
  std::array<std::uint8_t, stun::kMessageMax> buffer{};
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::success, transaction};
  builder.xor_mapped_address(mapped).integrity(as_bytes(password)).fingerprint();
  return copy_of(*builder.finish());
}

class AgentTest : public ::testing::Test {
 protected:
  std::optional<DropReason> receive(const ByteVector& bytes, const SocketAddress& local,
                                    const SocketAddress& remote) {
    const auto message = stun::Message::parse(bytes);
    if (!message) return DropReason::malformed_stun;
    return agent_.on_message(*message, local, remote, now_);
  }
  // Everything there is to send.
  std::vector<Transmit> drain() {
    std::vector<Transmit> out;
    while (auto transmit = agent_.poll_transmit()) out.push_back(std::move(*transmit));
    return out;
  }
  std::vector<AgentEvent> events() {
    std::vector<AgentEvent> out;
    while (auto event = agent_.poll_event()) out.push_back(*event);
    return out;
  }
  // Runs the agent's timers, as its owner would, and collects the checks. Events stay.
  std::vector<Transmit> run_until(Instant end) {
    std::vector<Transmit> out = drain();
    for (int i = 0; i < 100000; ++i) {
      pending_events_.reserve(64);
      while (auto event = agent_.poll_event()) pending_events_.push_back(*event);
      const auto wakeup = agent_.wakeup();
      if (!wakeup || wakeup->at > end) {
        now_ = end;
        return out;
      }
      EXPECT_GE(wakeup->at, now_) << wakeup->why;
      now_ = wakeup->at;
      agent_.on_timeout(now_);
      for (auto& transmit : drain()) {
        if (answering_ && transmit.transaction) {
          EXPECT_EQ(receive(success(*transmit.transaction, transmit.local), transmit.local,
                            transmit.remote),
                    std::nullopt);
        }
        sent_at_.push_back(now_);
        out.push_back(std::move(transmit));
      }
    }
    ADD_FAILURE() << "never idle";
    return out;
  }
  std::vector<Transmit> run_for(Duration duration) { return run_until(now_ + duration); }

  template <class T>
  [[nodiscard]] std::vector<T> seen() const {
    std::vector<T> out;
    for (const auto& event : pending_events_) {
      if (const auto* wanted = std::get_if<T>(&event)) out.push_back(*wanted);
    }
    return out;
  }

  SeededRandom random_{42};
  Instant now_ = kStart;
  Agent agent_{gateway_options(), random_, kStart};
  bool answering_ = false;  // checks are answered at once
  std::vector<AgentEvent> pending_events_;
  std::vector<Instant> sent_at_;

  const SocketAddress host_ = at("192.0.2.10:52625");
  const SocketAddress relayed_ = at("203.0.113.7:50000");
  const SocketAddress peer_ = at("192.0.2.20:52625");
};

}  // namespace fg::ice::testing
