// The channel over many frames, timeouts and sockets. Frames come as texts of the input or as
// replies made from what the channel sent, so that joins succeed and refs match.
#include "base/encoding.h"
#include "control/portal/channel.h"
#include "control/portal/json.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::portal;

class Silent final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel /*level*/, std::string_view /*target*/) const override {
    return false;
  }
  void write(LogLevel /*level*/, std::string_view /*target*/, std::string_view /*message*/,
             std::span<const LogField> /*fields*/) override {}
};

class World {
 public:
  explicit World(Bytes input) : choices_(input) {}

  void run() {
    while (!choices_.empty()) {
      const auto joins = channel_.counters().joins;
      step();
      drain();
      FG_LAW(channel_.counters().joins - joins <= 1);
      const auto wakeup = channel_.wakeup();
      FG_LAW(is_up_ == wakeup.has_value());
    }
  }

 private:
  void step() {
    switch (choices_.below(9)) {
      case 0:
        channel_.on_text(as_text(choices_.take(choices_.u16())), now_);
        return;
      case 1:
        channel_.on_text(reply(), now_);
        return;
      case 2:
        channel_.on_open(choices_.flag(), now_);
        is_up_ = true;
        next_ref_ = 0;
        texts_.clear();
        return;
      case 3:
        channel_.on_closed();
        is_up_ = false;
        return;
      case 4:
        now_ += choices_.pause();
        channel_.on_timeout(now_);
        return;
      case 5:
        if (const auto wakeup = channel_.wakeup()) now_ = std::max(now_, wakeup->at);
        channel_.on_timeout(now_);
        FG_LAW(channel_.wakeup() ? channel_.poll_event().has_value() || channel_.wakeup()->at > now_
                                 : true);
        drain();
        return;
      case 6:
        send();
        return;
      case 7:
        channel_.forget_client(client());
        return;
      default:
        poll_texts();
        return;
    }
  }

  void drain() {
    while (const auto event = channel_.poll_event()) {
      const auto* failed = std::get_if<Channel::Failed>(&*event);
      if (failed == nullptr) continue;
      FG_LAW(!failed->reason.empty());
      is_up_ = false;
    }
    // The test above may have taken the event of a failure.
    if (!channel_.wakeup()) is_up_ = false;
    FG_LAW(!channel_.is_joined() || is_up_);
  }

  void poll_texts() {
    while (const auto text = channel_.poll_text(now_)) {
      FG_LAW(is_up_);
      const auto json = parse_json(*text);
      FG_LAW(json && json->members.size() == 4);
      ObjectReader from(*json);
      const auto topic = from.text("topic");
      FG_LAW(from.integer("ref") == static_cast<std::int64_t>(next_ref_) && from.ok());
      const auto event = from.text("event");
      FG_LAW((topic == "phoenix") == (event == "heartbeat"));
      // Until the join is answered there is nothing but the join and heartbeats.
      FG_LAW(channel_.is_joined() || event == "phx_join" || event == "heartbeat");
      ++next_ref_;
      texts_.push_back(*text);
    }
  }

  std::string reply() {
    const auto ref = next_ref_ == 0 ? 0 : choices_.below(8) % next_ref_;
    const auto* topic = choices_.flag() ? "gateway" : "phoenix";
    constexpr std::array<const char*, 4> kPayloads{
        R"({"status":"ok","response":{}})",
        R"({"status":"error","response":{"reason":"unmatched topic"}})",
        R"({"status":"error","response":{"reason":"disabled"}})",
        R"({"status":"ok","response":{"a":1}})"};
    return frame(topic, "phx_reply", kPayloads[choices_.below(kPayloads.size())],
                 next_ref_ - 1 - ref);
  }

  ClientId client() {
    return ClientId{std::array<std::uint8_t, 16>{static_cast<std::uint8_t>(choices_.below(3))}};
  }

  void send() {
    switch (choices_.below(4)) {
      case 0:
        channel_.send(Authorized{Authorize::Dialect::authorize_flow, hex(choices_.bytes())}, now_);
        return;
      case 1:
        channel_.send(NoRelays{}, now_);
        return;
      case 2:
        channel_.send(ConnectionReady{"ref", std::nullopt, std::nullopt}, now_);
        return;
      default: {
        const auto id = client();
        const bool invalidated = choices_.flag();
        channel_.send(
            BroadcastCandidates{id, {std::to_string(choices_.below(8)), "x"}, invalidated}, now_);
      }
    }
  }

  fuzz::Choices choices_;
  Silent silent_;
  Channel channel_{Log{silent_, "portal"}};
  Instant now_ = fuzz::kStart;
  bool is_up_ = false;
  std::uint64_t next_ref_ = 0;
  std::vector<std::string> texts_;
};

void run(Bytes input) { World{input}.run(); }

}  // namespace

FG_FUZZ_TARGET(run)
