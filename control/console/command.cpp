#include "control/console/command.h"

#include <charconv>

namespace fg::console {
namespace {

constexpr std::string_view kSeeHelp = " (see firegate status --help)";

std::string wrong(std::string text) { return std::move(text) + std::string(kSeeHelp); }

// "443", "443/tcp", "53/udp", "icmp".
bool read_service(std::string_view word, AskExplain& out) {
  using Kind = filter::ProtoKind;
  if (word == name_of(Kind::echo)) return true;
  const auto slash = word.find('/');
  const auto protocol = slash == std::string_view::npos ? "tcp" : word.substr(slash + 1);
  if (protocol != name_of(Kind::tcp) && protocol != name_of(Kind::udp)) return false;
  out.protocol = protocol == name_of(Kind::tcp) ? Kind::tcp : Kind::udp;
  const auto port = word.substr(0, slash);
  const auto* end = port.data() + port.size();
  const auto [stop, error] = std::from_chars(port.data(), end, out.port);
  return error == std::errc{} && stop == end;
}

Result<Request, std::string> read_words(const std::vector<std::string>& words,
                                        const std::optional<std::string>& source) {
  const auto& verb = words.front();
  for (const auto& word : words) {
    if (word.empty() || word.size() > kWordMax)
      return fail(wrong("an argument is empty or longer than any name"));
  }
  if (source && verb != "explain") return fail(wrong("--source is for 'explain' only"));
  if (verb == "status") {
    if (words.size() > 1) return fail(wrong("'status' takes no '" + words[1] + "'"));
    return AskStatus{};
  }
  if (verb == "peers") {
    if (words.size() > 2) return fail(wrong("'peers' takes one CLIENT at most"));
    if (words.size() == 1) return AskPeers{};
    return AskPeer{words[1]};
  }
  if (words.size() < 3 || words.size() > 4)
    return fail(wrong("'explain' takes CLIENT DESTINATION [PORT[/tcp|/udp] | icmp]"));
  AskExplain out{words[1], words[2], filter::ProtoKind::echo, 0, std::nullopt};
  if (words.size() == 4 && !read_service(words[3], out))
    return fail(wrong("'" + words[3] + "' is neither PORT, PORT/tcp, PORT/udp nor icmp"));
  if (source) {
    out.source = IpAddress::parse(*source);
    if (!out.source) return fail(wrong("--source '" + *source + "' is not an IP address"));
  }
  return out;
}

}  // namespace

bool is_command(const std::vector<std::string>& arguments) {
  return !arguments.empty() &&
         (arguments[0] == "status" || arguments[0] == "peers" || arguments[0] == "explain");
}

Result<std::optional<Command>, std::string> parse_command(
    const std::vector<std::string>& arguments) {
  Command out;
  std::vector<std::string> words;
  std::optional<std::string> source;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& word = arguments[i];
    if (!word.starts_with('-')) {
      words.push_back(word);
      continue;
    }
    if (word == "--help" || word == "-h") return std::nullopt;
    if (word == "--json") {
      out.is_json = true;
      continue;
    }
    const auto equals = word.find('=');
    const auto flag = word.substr(0, equals);
    if (flag != "--control-socket" && flag != "--source")
      return fail(wrong("'" + arguments[0] + "' knows no '" + word + "'"));
    std::string value;
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    }
    if (value.empty()) return fail(wrong(flag + " needs a value"));
    (flag == "--source" ? source : out.socket) = value;
  }
  if (words.empty()) return fail(wrong("nothing is asked"));
  auto request = read_words(words, source);
  if (!request) return fail(request.error());
  out.request = std::move(*request);
  return out;
}

std::string help() {
  return "firegate status                                  the gateway as a whole\n"
         "firegate peers [CLIENT]                          its clients, or what one may reach\n"
         "firegate explain CLIENT DESTINATION [SERVICE]    would this packet pass, and why\n"
         "\n"
         "CLIENT       id, the beginning of one, or a tunnel address\n"
         "DESTINATION  address, or a name the client uses\n"
         "SERVICE      PORT, PORT/tcp, PORT/udp or icmp (the default: a ping)\n"
         "\n"
         "--json                  one line of JSON instead of text\n"
         "--control-socket PATH   of the gateway [FIREGATE_CONTROL_SOCKET]\n"
         "--source ADDRESS        explain: of the packet, instead of the client's own\n"
         "\n"
         "Exit code: 0 answered, and for explain: it passes; 1 no gateway there, or it refuses;\n"
         "2 wrong usage; 3 explain: it does not pass.\n";
}

}  // namespace fg::console
