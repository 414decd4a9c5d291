// Any datagram through every way of telling what it is: the ways agree, and exactly one kind claims
// it.
#include "control/stun/message.h"
#include "packet/channel_data.h"
#include "packet/demux.h"
#include "tests/fuzz/support.h"
#include "wireguard/message.h"

namespace {

using namespace fg;
using packet::DatagramKind;
using wireguard::MessageType;

std::optional<MessageType> as_message(DatagramKind kind) {
  switch (kind) {
    case DatagramKind::wireguard_initiation:
      return MessageType::initiation;
    case DatagramKind::wireguard_response:
      return MessageType::response;
    case DatagramKind::wireguard_cookie:
      return MessageType::cookie_reply;
    case DatagramKind::wireguard_data:
      return MessageType::data;
    case DatagramKind::unknown:
    case DatagramKind::stun:
    case DatagramKind::channel_data:
      return std::nullopt;
  }
  return std::nullopt;
}

void wireguard_views(Bytes datagram, DatagramKind kind) {
  FG_LAW(wireguard::classify(datagram) == as_message(kind));
  FG_LAW(wireguard::parse_initiation(datagram).has_value() ==
         (kind == DatagramKind::wireguard_initiation));
  FG_LAW(wireguard::parse_response(datagram).has_value() ==
         (kind == DatagramKind::wireguard_response));
  FG_LAW(wireguard::parse_cookie_reply(datagram).has_value() ==
         (kind == DatagramKind::wireguard_cookie));
  const auto data = wireguard::parse_data(datagram);
  const auto fast = packet::DataMessage::parse(datagram);
  FG_LAW(data.has_value() == (kind == DatagramKind::wireguard_data) &&
         data.has_value() == fast.has_value());
  if (!data) return;
  FG_LAW(data->receiver == fast->receiver && data->counter == fast->counter &&
         equal(data->sealed, fast->sealed));
  FG_LAW(wireguard::receiver_of(datagram) == data->receiver);
  std::array<std::uint8_t, packet::kDataHeader> header{};
  packet::write_data_header(header.data(), number(fast->receiver), fast->counter);
  FG_LAW(equal(header, datagram.first(header.size())));
}

void run(Bytes datagram) {
  const auto kind = packet::classify(datagram);
  wireguard_views(datagram, kind);
  if (stun::Message::parse(datagram)) FG_LAW(kind == DatagramKind::stun);
  const auto channel = packet::ChannelData::parse(datagram);
  if (kind == DatagramKind::channel_data) FG_LAW(channel.has_value());
  if (!channel) return;
  FG_LAW(channel->payload.size() + packet::kChannelHeader == datagram.size());
  ByteVector again(datagram.size());
  packet::write_channel_header(again.data(), channel->channel,
                               static_cast<std::uint16_t>(channel->payload.size()));
  std::ranges::copy(channel->payload, again.begin() + packet::kChannelHeader);
  FG_LAW(equal(again, datagram));
}

}  // namespace

FG_FUZZ_TARGET(run)
