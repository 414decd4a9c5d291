// TLS towards the portal and the ingest server: whom it trusts, and its handshake on a connection
// that stands. OpenSSL stays in the .cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace fg::net {

class PortalStream;

// Trust anchors and limits of TLS, shared by all connections of one thread.
class TlsContext {
 public:
  // The system's anchors and, if named, those of a PEM file. The error is a sentence.
  static Result<std::shared_ptr<TlsContext>, std::string> create(const std::string& ca_file);
  ~TlsContext();

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  TlsContext();
  std::unique_ptr<Impl> impl_;
};

// The certificate must be the host's. Calls back once, later: an empty text, or a sentence. The
// stream outlives the call unless it is closed first; `whose` names the other end in sentences.
void start_tls(PortalStream& stream, TlsContext& tls, const std::string& host,
               const std::string& whose, std::function<void(std::string error)> done);

}  // namespace fg::net
