// Where clients could reach this gateway, kept in a file while it runs: a process that was killed
// could not withdraw these addresses, so the next one does. Not secret, and without it clients only
// need longer: trouble with the file is no error.
#pragma once

#include <string>
#include <vector>

namespace fg::gateway {

inline constexpr std::size_t kLeftBehindMax = 256;

class LeftBehind {
 public:
  explicit LeftBehind(const std::string& state_directory);

  // Candidate lines of a predecessor that did not clear(). Whatever does not look like one is left
  // out.
  [[nodiscard]] std::vector<std::string> read() const;
  // False: the file cannot be written.
  bool write(const std::vector<std::string>& lines) const;  // replaces it as a whole
  void clear() const;

 private:
  std::string path_;
};

}  // namespace fg::gateway
