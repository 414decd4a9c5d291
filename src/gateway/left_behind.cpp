#include "gateway/left_behind.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string_view>

namespace fg::gateway {
namespace {

constexpr std::string_view kPrefix = "candidate:";
constexpr std::size_t kLineMax = 1024;  // spec connectivity 2.8

}  // namespace

LeftBehind::LeftBehind(const std::string& state_directory)
    : path_(state_directory + "/reachable_at") {}

std::vector<std::string> LeftBehind::read() const {
  std::vector<std::string> out;
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return out;
  if (info.st_size > static_cast<off_t>(kLeftBehindMax * kLineMax)) return out;
  std::ifstream in{path_};
  for (std::string line; out.size() < kLeftBehindMax && std::getline(in, line);) {
    if (line.starts_with(kPrefix) && line.size() <= kLineMax) out.push_back(std::move(line));
  }
  return out;
}

bool LeftBehind::write(const std::vector<std::string>& lines) const {
  const auto temporary = path_ + "." + std::to_string(::getpid());
  {
    std::ofstream file{temporary, std::ios::trunc};
    for (const auto& line : lines) file << line << '\n';
    if (!file.flush()) {
      (void)::unlink(temporary.c_str());
      return false;
    }
  }
  if (::rename(temporary.c_str(), path_.c_str()) == 0) return true;
  (void)::unlink(temporary.c_str());
  return false;
}

void LeftBehind::clear() const { (void)::unlink(path_.c_str()); }

}  // namespace fg::gateway
