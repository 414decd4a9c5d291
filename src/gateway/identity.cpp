#include "gateway/identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/hash.h"

namespace fg::gateway {
namespace {

constexpr std::size_t kFileMax = 4096;
constexpr std::string_view kMend =
    ": set FIREZONE_ID, or give read and write access to the state directory";

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  struct stat info{};
  if (!in || ::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  std::string content{std::istreambuf_iterator<char>{in}, {}};
  if (content.size() > kFileMax) return std::nullopt;
  return content;
}

std::optional<std::string> parse_id_file(const std::string& content) {
  const auto json = nlohmann::json::parse(content, nullptr, false);
  if (json.is_object() && json.contains("id") && json["id"].is_string()) {
    auto id = json["id"].get<std::string>();
    if (!id.empty()) return id;
  }
  // Differs from newer originals, which lose the identity of a seed gateway: its bare UUID text is
  // honoured as it stands, with the newline that an editor left (the seed hashed it as well).
  std::string_view text{content};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  if (ClientId::parse(text)) return content;
  return std::nullopt;
}

std::string new_id(Random& random) {
  std::array<std::uint8_t, 16> uuid{};
  random.fill(uuid);
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0F) | 0x40);  // RFC 4122 §4.4
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3F) | 0x80);
  return hex(crypto::sha256({as_bytes(format_uuid(uuid))}));
}

// Never overwrites: a temporary file is linked into place.
bool store(const std::string& path, const std::string& content) {
  const auto temporary = path + "." + std::to_string(::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (fd < 0) return false;
  const bool written =
      ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
      ::fsync(fd) == 0;
  ::close(fd);
  const bool linked = written && ::link(temporary.c_str(), path.c_str()) == 0;
  const int error = errno;
  ::unlink(temporary.c_str());
  errno = error;
  return linked;
}

}  // namespace

std::string derive_from_machine_id(const std::string& content) {
  static constexpr std::string_view kKey = "753b38f9f96947ef8083802d5909a372";  // spec portal 1.1
  return hex(crypto::hmac_sha256(as_bytes(kKey), {as_bytes(content)}));
}

Result<DeviceId, std::string> find_device_id(const IdentityFiles& files, Random& random) {
  const auto path = files.state_directory + "/gateway_id";
  if (const auto content = read_file(path)) {
    if (const auto id = parse_id_file(*content)) return DeviceId{*id, "state directory"};
  }
  if (const auto machine = read_file(files.machine_id)) {
    return DeviceId{derive_from_machine_id(*machine), "machine id"};
  }
  if (::mkdir(files.state_directory.c_str(), 0770) != 0 && errno != EEXIST) {
    return fail("FIREZONE_ID is not set and the directory '" + files.state_directory +
                "' cannot be made (" + std::strerror(errno) + ")" + std::string(kMend));
  }
  const auto id = new_id(random);
  if (!store(path, nlohmann::json{{"id", id}}.dump())) {
    return fail("FIREZONE_ID is not set and the file '" + path + "' cannot be written (" +
                std::strerror(errno) + ")" + std::string(kMend));
  }
  return DeviceId{id, "new, stored in the state directory"};
}

}  // namespace fg::gateway
