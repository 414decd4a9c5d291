#include "control/dns/message.h"

#include "base/assert.h"

namespace fg::dns {
namespace {

// RFC 1035 §4.1.1, the second 16 bits of the header.
constexpr std::uint16_t kResponse = 0x8000;
constexpr std::uint16_t kOpcodeMask = 0x7800;
constexpr std::uint16_t kTruncated = 0x0200;
constexpr std::uint16_t kRecursionDesired = 0x0100;
constexpr std::uint16_t kRecursionAvailable = 0x0080;
constexpr std::uint16_t kRcodeMask = 0x000F;
constexpr std::uint16_t kServerFailure = 2;

constexpr std::size_t kFlagsAt = 2;
constexpr std::size_t kCountsAt = 4;
constexpr std::size_t kAnswersAt = 6;
constexpr std::size_t kQuestionTail = 4;     // type and class
constexpr std::size_t kRecordTail = 8;       // type, class and time to live
constexpr std::size_t kNameMax = 255;        // RFC 1035 §2.3.4
constexpr std::uint8_t kPointer = 0xC0;      // RFC 1035 §4.1.4
constexpr std::uint16_t kTypeA = 1;          // RFC 1035 §3.2.2
constexpr std::uint16_t kClassInternet = 1;  // RFC 1035 §3.2.4

enum class Pointers : std::uint8_t { none, backwards };

bool skip_name(ByteReader& in, Pointers pointers) {
  const auto start = in.position();
  while (in.ok()) {
    const auto at = in.position();
    const auto length = in.u8();
    if ((length & kPointer) == kPointer) {
      const auto target = static_cast<std::size_t>((length & ~kPointer) << 8 | in.u8());
      return in.ok() && pointers == Pointers::backwards && target >= kHeaderSize && target < at;
    }
    if ((length & kPointer) != 0) return false;
    in.skip(length);
    if (in.position() - start > kNameMax) return false;
    if (length == 0) return in.ok();
  }
  return false;
}

std::uint8_t lower(std::uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<std::uint8_t>(c | 0x20) : c;
}

// Lengths of labels are below the letters, so names are compared as they are written.
bool is_same_question(Bytes a, Bytes b) {
  if (a.size() != b.size() || a.size() < kQuestionTail) return false;
  const auto name = a.size() - kQuestionTail;
  return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(name), b.begin(),
                    [](std::uint8_t x, std::uint8_t y) { return lower(x) == lower(y); }) &&
         equal(a.subspan(name), b.subspan(name));
}

// Header and question section, to be made another message of.
ByteVector head_of(Bytes bytes) {
  const auto message = Message::parse(bytes);
  FG_ASSERT(message);
  auto out = copy_of(bytes.first(kHeaderSize + message->question.size()));
  std::fill(out.begin() + kAnswersAt, out.begin() + kHeaderSize, std::uint8_t{0});
  return out;
}

}  // namespace

std::optional<Message> Message::parse(Bytes bytes) {
  ByteReader in{bytes};
  Message out;
  out.id = in.be16();
  const auto flags = in.be16();
  out.is_response = (flags & kResponse) != 0;
  out.rcode = static_cast<std::uint8_t>(flags & kRcodeMask);
  out.questions = in.be16();
  in.skip(kHeaderSize - kAnswersAt);
  for (unsigned i = 0; i < out.questions && in.ok(); ++i) {
    if (!skip_name(in, Pointers::none)) return std::nullopt;
    in.skip(kQuestionTail);
  }
  if (!in.ok()) return std::nullopt;
  out.question = bytes.subspan(kHeaderSize, in.position() - kHeaderSize);
  return out;
}

std::optional<Message> parse_query(Bytes bytes) {
  const auto out = Message::parse(bytes);
  if (!out || out->is_response || out->questions != 1) return std::nullopt;
  ByteReader in{bytes};
  in.skip(kHeaderSize + out->question.size());
  const auto answers = load_be16(bytes.data() + kAnswersAt);
  for (unsigned i = 0; i < answers; ++i) {
    if (!skip_name(in, Pointers::backwards)) return std::nullopt;
    in.skip(kRecordTail);
    in.skip(in.be16());
  }
  return in.ok() ? out : std::nullopt;
}

bool is_answer_to(const Message& reply, const Message& query) {
  if (!reply.is_response || reply.id != query.id) return false;
  if (reply.questions == 0) return reply.rcode != kNoError;
  return reply.questions == 1 && is_same_question(reply.question, query.question);
}

ByteVector server_failure(Bytes query) {
  auto out = head_of(query);
  const auto flags = load_be16(out.data() + kFlagsAt);
  store_be16(out.data() + kFlagsAt,
             static_cast<std::uint16_t>((flags & (kOpcodeMask | kRecursionDesired)) | kResponse |
                                        kRecursionAvailable | kServerFailure));
  return out;
}

ByteVector truncated(Bytes reply) {
  auto out = head_of(reply);
  const auto flags = load_be16(out.data() + kFlagsAt);
  store_be16(out.data() + kFlagsAt, static_cast<std::uint16_t>(flags | kTruncated));
  return out;
}

ByteVector address_query(std::uint16_t id, std::string_view name) {
  ByteVector out(kHeaderSize);
  store_be16(out.data(), id);
  store_be16(out.data() + kFlagsAt, kRecursionDesired);
  store_be16(out.data() + kCountsAt, 1);
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    out.push_back(static_cast<std::uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  out.push_back(0);
  out.resize(out.size() + kQuestionTail);
  store_be16(out.data() + out.size() - kQuestionTail, kTypeA);
  store_be16(out.data() + out.size() - 2, kClassInternet);
  return out;
}

void set_id(MutableBytes message, std::uint16_t id) { store_be16(message.data(), id); }

}  // namespace fg::dns
