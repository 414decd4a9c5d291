// The gateway's identity on this host: which record of the portal is re-used (spec operations 2.3,
// portal 1.1). A host that ran an original of any generation keeps its record.
#pragma once

#include <optional>
#include <string>

#include "base/random.h"
#include "base/result.h"

namespace fg::gateway {

struct IdentityFiles {
  std::string state_directory = "/var/lib/firezone";
  std::string machine_id = "/etc/machine-id";
};

struct DeviceId {
  std::string id;
  const char* source = "";  // for a log line: where it came from
};

// In this order: the file gateway_id in either format (JSON {"id":…} of newer originals, bare text
// of the seed), the id derived from the machine id, a new one that is stored. The error is one line
// with the mend.
[[nodiscard]] Result<DeviceId, std::string> find_device_id(const IdentityFiles& files,
                                                           Random& random);

// hex(HMAC-SHA256(fixed key, raw content of /etc/machine-id)), spec operations 2.3 step 3.
[[nodiscard]] std::string derive_from_machine_id(const std::string& content);

}  // namespace fg::gateway
