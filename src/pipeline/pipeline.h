// One worker's packet path in both directions (spec connectivity 1.3, 1.4; spec policy 9.4, 9.6),
// without a socket, a thread or a clock. Datagrams come in batches and are decrypted where they
// lie; what may pass is coalesced for the TUN device. Packets of the TUN device are looked at once
// a super-packet and encrypted straight into buffers for segmented sends. What the fast path does
// not finish is punted.
//
// Contract: after apply() and on_handoff() call flush(); the other inputs flush by themselves.
// on_timeout() is due at wakeup(). After construction only commands and on_timeout() allocate.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/datagram.h"
#include "base/time.h"
#include "base/token_bucket.h"
#include "crypto/aead.h"
#include "filter/policy.h"
#include "flow/tracker.h"
#include "nat/family.h"
#include "packet/coalesce.h"
#include "packet/demux.h"
#include "packet/icmp.h"
#include "packet/inner.h"
#include "packet/reassembly.h"
#include "packet/segment.h"
#include "packet/vnet_header.h"
#include "pipeline/client_table.h"
#include "pipeline/commands.h"
#include "pipeline/counters.h"
#include "pipeline/deadline_heap.h"
#include "pipeline/expected_sources.h"
#include "pipeline/kept_flows.h"
#include "pipeline/output.h"
#include "pipeline/policy_question.h"
#include "pipeline/refusal.h"
#include "pipeline/relay_table.h"
#include "pipeline/standing_answers.h"
#include "pipeline/transmit_batcher.h"

namespace fg::pipeline {

struct PipelineOptions {
  WorkerIndex worker{};
  unsigned workers = 1;
  std::size_t clients_max = 16'384;
  packet::Coalescer::Offloads offloads{};
  std::uint64_t seed = 0;  // secret: clients choose the keys of their flow tables
};

class Pipeline {
 public:
  static constexpr std::size_t kBatch = 64;
  // Flows of so many packets ahead are fetched: of more at once the CPU would wait for the first.
  static constexpr std::size_t kFlowsAhead = 16;
  static constexpr std::size_t kHandoffsHeld = 64;
  static constexpr std::size_t kPendingEventsMax = 65'536;
  static constexpr Duration kActivityInterval = 5s;  // pipeline/commands.h: ClientActivity
  static constexpr Duration kActivityKnown = 10s;    // beyond it: idle after 20 s, or soon
  // What the control thread is asked to look at of strangers: some percent of a core. Clients are
  // expected sources before their first datagram, so only floods come near these.
  static constexpr Duration kStrangerStunInterval = 200us;     // 5000 a second
  static constexpr Duration kStrangerHandshakeInterval = 1ms;  // ten times spec connectivity 4.7
  static constexpr int kStrangerBurst = 100;

  Pipeline(const PipelineOptions& options, crypto::AeadEngine& engine, Output& output);

  // inputs
  void apply(Command&& command, Instant now);
  void on_datagrams(std::span<ReceivedDatagrams> batch, Instant now) noexcept;
  void on_tun(std::span<TunRead> batch, Instant now) noexcept;
  // The hand-off may be overwritten when this returns.
  void on_handoff(const Handoff& handoff, Instant now) noexcept;
  void on_timeout(Instant now) noexcept;
  void flush(Instant now) noexcept;
  void set_offloads(packet::Coalescer::Offloads offloads) noexcept {
    coalescer_.set_offloads(offloads);
  }

  [[nodiscard]] std::optional<Wakeup> wakeup() const;
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const flow::Counters& flow_counters() const { return tracker_.counters(); }
  [[nodiscard]] std::size_t clients() const { return clients_.size(); }

 private:
  // Channel data a message came in; no relay: none.
  struct Framing {
    std::optional<RelaySlot> relay;
    ChannelNumber channel{};
  };
  // A data message on its way in.
  struct Arrival {
    MutableBytes message;
    ReceiverIndex receiver{};
    std::uint64_t counter = 0;
    Client* client = nullptr;
    wireguard::Session* session = nullptr;  // none: already counted
    std::uint8_t ecn = 0;
    const ReceivedDatagrams* from = nullptr;
    Framing framing;
    // After decryption.
    MutableBytes inner;
    bool has_length = false;                    // then `inner` is without padding
    std::optional<packet::InnerPacket> packet;  // of `inner`; none: see error
    DropReason error = DropReason::malformed_packet;
    std::uint8_t place = 0;                      // of the destination
    std::optional<nat::FlowTable::Search> flow;  // to a proxy address
  };
  // Whether a place is a proxy address, and what that stands for.
  struct Proxy {
    bool is_proxy = false;
    const nat::Translation* translation = nullptr;  // none: for nothing
  };
  // A packet of the TUN device on its way out.
  struct Departure {
    MutableBytes bytes;
    packet::VnetHeader header;
    std::optional<packet::InnerPacket> packet;  // of `bytes`; none: already counted
    std::optional<packet::Segments> segments;
    std::uint32_t tunnel = 0;
    Client* client = nullptr;
    const nat::FlowTable::Mapping* crossing = nullptr;  // leaves as a packet of the other family
    nat::FlowTable::Search flow;                        // of a packet that may belong to one
    std::optional<std::uint8_t> place;  // of the source, if that is what the client sees
    filter::Verdict verdict;            // about what the client sees it from
  };
  // Of a packet that flow logs count.
  struct Tracked {
    flow::Key key;
    flow::Tracker::Hash hash = 0;
    flow::Traffic traffic;
    bool is_tx = false;  // client to resource; what follows then matters
    flow::OuterPath path;
    std::uint32_t name = flow::kNoName;
  };

  // commands (pipeline.cpp)
  void on_command(std::monostate, Instant) {}
  void on_command(const AddClient& command, Instant now);
  void on_command(const RemoveClient& command, Instant now);
  void on_command(const ForgetFlows& command, Instant now);
  void on_command(const SetPolicy& command, Instant now);
  void on_command(const SetTranslations& command, Instant now);
  void on_command(const SetPath& command, Instant now);
  void on_command(InstallSession& command, Instant now);
  void on_command(const SendInner& command, Instant now);
  void on_command(const AskRoute& command, Instant now);
  void on_command(const SendProbe& command, Instant now);
  void on_command(const SetRelay& command, Instant now);
  void on_command(const SetChannel& command, Instant now);
  void on_command(const SetTunnelOwner& command, Instant now);
  void on_command(const SetGatewayAddresses& command, Instant now);
  void on_command(const ExpectSource& command, Instant now);
  void on_command(SetStandingAnswer& command, Instant now);
  void on_command(const DropStandingAnswers& command, Instant now);
  void on_command(const SetFlowTracking& command, Instant now);
  void on_command(const ReadTraffic& command, Instant now);
  void remove_client(Client& client);

  // client to resource (inbound.cpp)
  void sort_datagram(MutableBytes datagram, const ReceivedDatagrams& from, RelayTable::Relay* relay,
                     Instant now) noexcept;
  // `from` stays until the batch is run.
  void sort_data_message(MutableBytes message, const ReceivedDatagrams& from, Framing framing,
                         Instant now) noexcept;
  void run_arrivals(Instant now) noexcept;
  void find_session(Arrival& arrival, Instant now) noexcept;
  void look_at(Arrival& arrival, const Arrival* before) noexcept;
  void deliver(Arrival& arrival, Instant now) noexcept;
  [[nodiscard]] static Route route_of(const Arrival& arrival) noexcept;
  // True: it was a probe, and that is all about it.
  bool take_probe(const Arrival& arrival, Instant now) noexcept;
  void note_route(const Arrival& arrival, Instant now) noexcept;
  void deliver_inner(const Arrival& arrival, Instant now) noexcept;
  [[nodiscard]] Parties parties(const Client& client) const noexcept {
    return {client.tunnel_v4, client.tunnel_v6, gateway_v4_, gateway_v6_};
  }
  void refuse(Client& client, const Refusal& refusal, const packet::InnerPacket& packet,
              Instant now) noexcept;
  void answer(Client& client, packet::IcmpAnswer kind, const packet::InnerPacket& original,
              Instant now) noexcept;
  // True: it was asked before and is answered.
  bool answer_check(Bytes message, const Path& path, Instant now) noexcept;
  void punt_from_client(packet::DatagramKind kind, Bytes datagram, const ReceivedDatagrams& from,
                        Instant now) noexcept;
  void punt_datagram(PuntClass punt_class, Bytes datagram, const ReceivedDatagrams& from) noexcept;
  void punt_inner(const Client& client, Bytes inner, std::uint8_t ecn) noexcept;
  void hand_over_datagram(WorkerIndex worker, Bytes message, const ReceivedDatagrams& from,
                          Framing framing) noexcept;

  // resource to client (outbound.cpp)
  void look_at(TunRead read, Departure& departure, Instant now) noexcept;
  // The whole packet, when this fragment completes it.
  [[nodiscard]] MutableBytes reassemble(Bytes fragment, Instant now) noexcept;
  void run_departures(std::span<Departure> departures, Instant now) noexcept;
  void depart(Departure& departure, Instant now) noexcept;
  // `source` is the packet's, or the proxy address it was translated to.
  [[nodiscard]] std::optional<DropReason> refusal_towards(Departure& departure,
                                                          const IpAddress& source) noexcept;
  void on_inner_handoff(Bytes packet, Instant now) noexcept;
  void hand_over_packet(WorkerIndex worker, const packet::Segments& segments) noexcept;
  // Room for a datagram of `size` bytes, behind the channel header if there is one.
  [[nodiscard]] std::uint8_t* room_for(TransmitBatcher::Mark& mark, const Path& path,
                                       std::size_t size, std::uint8_t ecn) noexcept;
  // Room for a message with this much inside, behind the channel header if there is one.
  [[nodiscard]] std::uint8_t* place_for(TransmitBatcher::Mark& mark, const Path& path,
                                        std::size_t inner, std::uint8_t ecn) noexcept;
  bool send_inner(Client& client, Bytes inner, Instant now) noexcept;
  bool send_keepalive(Client& client, Instant now) noexcept;

  // between proxy and real addresses (translation.cpp)
  // The packet as it leaves: `inner` rewritten, or of the other family in `crossed_`.
  [[nodiscard]] Result<MutableBytes, Refusal> translate_outbound(
      const Arrival& arrival, const nat::Translation* translation, Instant now) noexcept;
  static void note_direct(Client& client, const packet::InnerPacket& packet) noexcept;
  // The source the client sees; nullptr: the packet is dealt with.
  [[nodiscard]] const IpAddress* translate_inbound(Departure& departure, Instant now) noexcept;
  [[nodiscard]] bool translate_error(Client& client, const packet::InnerPacket& packet,
                                     Instant now) noexcept;
  void cross(Departure& departure, wireguard::Session& session, Instant now) noexcept;
  void write_alone(MutableBytes packet) noexcept;
  void sweep_translation(Client& client, Instant now) noexcept;

  // flow logs (tracking.cpp)
  void track_tx(const Arrival& arrival, const packet::InnerPacket& sent,
                const filter::Verdict& verdict, std::uint32_t name, Instant now) noexcept;
  void track_rx(const Client& client, const packet::InnerPacket& seen,
                const filter::Verdict& verdict, std::uint64_t packets, std::uint64_t bytes,
                Instant now) noexcept;
  [[nodiscard]] Tracked& next_tracked(Instant now) noexcept;
  void flush_tracked(Instant now) noexcept;

  // shared (pipeline.cpp)
  void drop(DropReason reason, std::uint64_t n = 1) noexcept { counters_.drops.count(reason, n); }
  void touch(Client& client) noexcept;
  void note_activity(Client& client, Instant now) noexcept;
  void report(Event event, bool essential, bool can_wait = false) noexcept;
  void arm(Client& client) noexcept;
  void arm_after_packets(Client& client) noexcept;
  void arm_until(Client& client, Instant at) noexcept;
  void arm_touched() noexcept;
  void flush_tun() noexcept;
  void flush_transmit() noexcept;
  void finish(Instant now) noexcept;

  const PipelineOptions options_;
  crypto::AeadEngine& engine_;
  Output& output_;
  Counters counters_;
  flow::Tracker tracker_;

  nat::FlowStore flow_store_;  // outlives the clients
  bool has_names_ = false;     // there ever were translations: the store is kept full
  ClientTable clients_;
  RelayTable relays_;
  ExpectedSources expected_;
  StandingAnswers standing_answers_;
  TokenBucket stranger_stun_{kStrangerStunInterval, kStrangerBurst};
  TokenBucket stranger_handshakes_{kStrangerHandshakeInterval, kStrangerBurst};
  std::optional<IpAddress> gateway_v4_;
  std::optional<IpAddress> gateway_v6_;
  [[nodiscard]] bool is_gateway(const IpAddress& ip) const noexcept {
    return ip == (ip.is_v4() ? gateway_v4_ : gateway_v6_);
  }

  packet::Coalescer coalescer_;
  TransmitBatcher batcher_;
  DeadlineHeap deadlines_;
  std::vector<Client*> touched_;
  std::vector<Event> pending_events_;
  std::array<Arrival, kBatch> arrivals_{};
  std::size_t arrivals_used_ = 0;
  std::array<Departure, kBatch> departures_{};
  std::array<filter::Policy::Place, kBatch> places_{};
  std::array<Proxy, kBatch> proxies_{};  // of places_, on the way in
  std::size_t places_used_ = 0;
  LastVerdict last_verdict_;
  std::array<Tracked, kBatch> tracked_{};
  std::size_t tracked_used_ = 0;
  std::array<std::array<std::uint8_t, 1600>, kHandoffsHeld> held_{};
  std::array<ReceivedDatagrams, kHandoffsHeld> held_from_{};
  std::size_t held_used_ = 0;
  std::array<std::uint8_t, packet::kPacketMax> scratch_{};
  std::array<std::uint8_t, 1600> handed_{};
  std::array<std::uint8_t, nat::kCrossedMax> crossed_{};
  KeptFlows kept_flows_;
  packet::Reassembler reassembler_;
  bool unpublished_ = false;
  Instant last_now_ = Instant::min();
};

}  // namespace fg::pipeline
