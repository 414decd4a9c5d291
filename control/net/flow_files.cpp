#include "control/net/flow_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace fg::net {
namespace {

namespace fs = std::filesystem;

constexpr ::mode_t kDirectoryMode = 0700;
constexpr ::mode_t kFileMode = 0600;
constexpr std::string_view kTemporary = ".new-";
constexpr std::string_view kReport = ".json";
constexpr std::size_t kNamesMax = 1'000'000;

std::string failure(const char* operation, const std::string& path) {
  const int error = errno;
  return std::string{operation} + " " + path + ": " + ::strerrordesc_np(error);
}

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags, kFileMode)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const auto n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::optional<std::string> read_file(const std::string& path, std::size_t size_max) {
  const File file{path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW};
  struct stat info{};
  if (file.fd() < 0 || ::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode))
    return std::nullopt;
  if (info.st_size > static_cast<off_t>(size_max)) return std::string{};  // none of ours
  std::string out(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t at = 0;
  while (at < out.size()) {
    const auto n = ::read(file.fd(), out.data() + at, out.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    at += static_cast<std::size_t>(n);
  }
  out.resize(at);
  return out;
}

// Names in a directory; nothing when it cannot be read.
std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at{path, error}, end; !error && at != end && out.size() < kNamesMax;
       at.increment(error)) {
    out.push_back(at->path().filename().string());
  }
  return out;
}

bool is_report(std::string_view name) {
  return name.ends_with(kReport) && !name.starts_with(kTemporary);
}

// "role/authorization" of everything that looks like one.
std::vector<std::string> directories_in(const std::string& root) {
  std::vector<std::string> out;
  for (const auto& role : names_in(root)) {
    if (!flow_log::is_role(role)) continue;
    for (const auto& name : names_in(root + "/" + role)) {
      if (flow_log::is_authorization(name)) out.push_back(role + "/" + name);
    }
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

FlowFiles::FlowFiles(std::string root, std::size_t reports_max)
    : root_(std::move(root)), reports_max_(reports_max) {
  for (const auto& directory : directories_in(root_)) {
    const auto names = names_in(path_of(directory));
    reports_ += static_cast<std::size_t>(std::ranges::count_if(names, is_report));
  }
}

std::string FlowFiles::path_of(std::string_view name) const {
  return root_ + "/" + std::string{name};
}

bool FlowFiles::make_directories(const std::string& path) {
  for (auto slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const auto part = path.substr(0, slash);
    // What the spool lies in is for others as well; the spool is not.
    const ::mode_t mode = part.size() < root_.size() ? 0755 : kDirectoryMode;
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      last_error_ = failure("create", part);
      return false;
    }
    if (slash == std::string::npos) return true;
  }
}

bool FlowFiles::put(const std::string& path, std::string_view content) {
  const auto slash = path.rfind('/');
  const auto temporary =
      path.substr(0, slash + 1) + std::string{kTemporary} + path.substr(slash + 1);
  const auto refuse = [&](const char* what) {
    last_error_ = failure(what, path);
    (void)::unlink(temporary.c_str());
    return false;
  };
  {
    (void)::unlink(temporary.c_str());  // of a process that was killed
    const File file{temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW};
    if (file.fd() < 0) return refuse("create");
    if (!write_all(file.fd(), content) || ::fsync(file.fd()) != 0) return refuse("write");
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return refuse("rename");
  return true;
}

void FlowFiles::erase(const std::string& path) {
  if (::unlink(path.c_str()) == 0 && is_report(path) && reports_ > 0) --reports_;
}

bool FlowFiles::keep_token(const std::string& directory, const SecretText& token) {
  const auto path = path_of(directory);
  return make_directories(path) &&
         put(path + "/" + std::string{flow_log::kTokenFile}, token.expose());
}

FlowFiles::Written FlowFiles::write(const flow_log::Report& report) {
  const auto path = path_of(report.directory);
  struct stat info{};
  const auto token = path + "/" + std::string{flow_log::kTokenFile};
  if (::lstat(token.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return Written::discarded;
  if (reports_ >= reports_max_) return Written::full;
  const bool is_new = ::lstat((path + "/" + report.name).c_str(), &info) != 0;
  if (!put(path + "/" + report.name, report.content)) return Written::failed;
  reports_ += is_new ? 1 : 0;
  return Written::written;
}

bool FlowFiles::keep_settings(const std::optional<flow_log::UploadSettings>& settings) {
  const auto path = path_of(flow_log::kSettingsFile);
  if (settings) return make_directories(root_) && put(path, flow_log::to_json(*settings));
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return true;
  last_error_ = failure("remove", path);
  return false;
}

std::optional<flow_log::UploadSettings> FlowFiles::settings() const {
  const auto text = read_file(path_of(flow_log::kSettingsFile), flow_log::kReportBytesMax);
  return text ? flow_log::parse_settings(*text) : std::nullopt;
}

void FlowFiles::prune(WallTime now) {
  for (const auto& directory : directories_in(root_)) {
    const auto path = path_of(directory);
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    for (const auto& name : names_in(path)) {
      if (name.starts_with(kTemporary)) erase(path + "/" + name);
    }
    const WallTime changed{std::chrono::seconds{info.st_mtim.tv_sec}};
    const auto token =
        read_file(path + "/" + std::string{flow_log::kTokenFile}, flow_log::kTokenBytesMax);
    if (!flow_log::is_stale(token, now - changed, now)) continue;
    for (const auto& name : names_in(path)) erase(path + "/" + name);
    (void)::rmdir(path.c_str());
  }
}

std::vector<std::string> FlowFiles::authorizations() const {
  auto out = directories_in(root_);
  std::erase_if(out, [&](const std::string& directory) {
    return ::access((path_of(directory) + "/" + std::string{flow_log::kTokenFile}).c_str(), R_OK) !=
           0;
  });
  return out;
}

FlowFiles::Batch FlowFiles::read(const std::string& directory, std::size_t batch_size) {
  Batch out;
  const auto path = path_of(directory) + "/";
  auto token = read_file(path + std::string{flow_log::kTokenFile}, flow_log::kTokenBytesMax);
  if (!token || token->empty()) return out;
  out.token = SecretText{std::move(*token)};
  auto picked = flow_log::pick(names_in(path), batch_size);
  out.has_more = picked.has_more;
  for (auto& file : picked.picks) {
    const auto content = read_file(path + file.name, flow_log::kReportBytesMax);
    if (!content) continue;
    auto payload = flow_log::disclose(*content);
    if (!payload) {
      erase(path + file.name);
      continue;
    }
    out.payloads.push_back(std::move(*payload));
    out.files.push_back(std::move(file));
  }
  return out;
}

void FlowFiles::remove(const std::string& directory, const flow_log::Pick& report) {
  const auto path = path_of(directory) + "/";
  erase(path + report.name);
  if (!report.superseded.empty()) erase(path + report.superseded);
}

}  // namespace fg::net
