#include "wireguard/message.h"

namespace fg::wireguard {

std::optional<MessageType> classify(Bytes datagram) {
  if (datagram.size() < kDataOverhead) return std::nullopt;
  const auto sized = [&](MessageType type, std::size_t size) {
    return datagram.size() == size ? std::optional{type} : std::nullopt;
  };
  switch (load_le32(datagram.data())) {
    case 1:
      return sized(MessageType::initiation, kInitiationSize);
    case 2:
      return sized(MessageType::response, kResponseSize);
    case 3:
      return sized(MessageType::cookie_reply, kCookieReplySize);
    case 4:
      return MessageType::data;
    default:
      return std::nullopt;
  }
}

std::optional<InitiationView> parse_initiation(Bytes message) {
  if (classify(message) != MessageType::initiation) return std::nullopt;
  return InitiationView{.sender = load_le32(message.data() + 4),
                        .ephemeral = message.subspan(8, 32),
                        .encrypted_static = message.subspan(40, 48),
                        .encrypted_timestamp = message.subspan(88, 28)};
}

std::optional<ResponseView> parse_response(Bytes message) {
  if (classify(message) != MessageType::response) return std::nullopt;
  return ResponseView{.sender = load_le32(message.data() + 4),
                      .receiver = ReceiverIndex{load_le32(message.data() + 8)},
                      .ephemeral = message.subspan(12, 32),
                      .encrypted_nothing = message.subspan(44, 16)};
}

std::optional<CookieReplyView> parse_cookie_reply(Bytes message) {
  if (classify(message) != MessageType::cookie_reply) return std::nullopt;
  return CookieReplyView{.receiver = ReceiverIndex{load_le32(message.data() + 4)},
                         .nonce = message.subspan(8, 24),
                         .encrypted_cookie = message.subspan(32, 32)};
}

std::optional<DataView> parse_data(Bytes message) {
  if (classify(message) != MessageType::data) return std::nullopt;
  return DataView{.receiver = data_receiver(message.data()),
                  .counter = data_counter(message.data()),
                  .sealed = message.subspan(kDataHeaderSize)};
}

std::optional<ReceiverIndex> receiver_of(Bytes message) {
  switch (classify(message).value_or(MessageType::initiation)) {
    case MessageType::initiation:
      return std::nullopt;
    case MessageType::response:
      return ReceiverIndex{load_le32(message.data() + 8)};
    case MessageType::cookie_reply:
    case MessageType::data:
      return data_receiver(message.data());
  }
  return std::nullopt;
}

}  // namespace fg::wireguard
