// A file to which lines are appended, 0600 when it is made here. It never grows beyond its limit:
// when it would, it becomes `path`.1 in the place of the one before. For one thread, which may
// block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fg::net {

inline constexpr std::uint64_t kLineFileBytesMax = std::uint64_t{64} << 20;

class LineFile {
 public:
  explicit LineFile(std::string path, std::uint64_t bytes_max = kLineFileBytesMax)
      : path_(std::move(path)), bytes_max_(bytes_max) {}
  ~LineFile() { close(); }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  // The line ends in a newline. False: it is lost, last_error() says why.
  [[nodiscard]] bool append(std::string_view line);
  // What has the path now is opened with the next line: others have moved the file away.
  void reopen() { close(); }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

 private:
  bool open();
  void close();
  bool refuse(const char* operation);

  std::string path_;
  std::uint64_t bytes_max_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::string last_error_;
};

}  // namespace fg::net
