#include "control/net/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <utility>

#include "base/address.h"
#include "control/net/portal_stream.h"

namespace fg::net {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

namespace {

// OpenSSL's words for a certificate it refused say why; the error code does not.
std::string tls_failure(SSL* tls, const std::string& whose, const ErrorCode& error) {
  const long verdict = SSL_get_verify_result(tls);
  if (verdict == X509_V_OK) return "TLS handshake failed: " + error.message();
  const std::string why = X509_verify_cert_error_string(verdict);
  return whose + "'s certificate is refused: " + why;
}

}  // namespace

struct TlsContext::Impl {
  asio::ssl::context context{asio::ssl::context::tls_client};
};

TlsContext::TlsContext() : impl_(std::make_unique<Impl>()) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>, std::string> TlsContext::create(const std::string& ca_file) {
  std::shared_ptr<TlsContext> tls{new TlsContext};
  auto& context = tls->impl_->context;
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  ErrorCode error;
  context.set_verify_mode(asio::ssl::verify_peer, error);
  context.set_default_verify_paths(error);
  if (!ca_file.empty()) {
    context.load_verify_file(ca_file, error);
    if (error) {
      return fail("Failed to read trust anchors from " + ca_file + " (" + error.message() +
                  "): set FIREGATE_CA_FILE to a PEM file that the gateway may read");
    }
  }
  return tls;
}

void start_tls(PortalStream& stream, TlsContext& tls, const std::string& host,
               const std::string& whose, std::function<void(std::string error)> done) {
  static constexpr std::array<unsigned char, 9> kHttp{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  auto& secure = stream.start_tls(tls.impl().context);
  SSL_set_alpn_protos(secure.native_handle(), kHttp.data(), kHttp.size());
  if (!IpAddress::parse(host)) {
    // The macro for it casts in the old style.
    auto name = host;
    SSL_ctrl(secure.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             name.data());
  }
  ErrorCode ignored;
  secure.set_verify_callback(asio::ssl::host_name_verification{host}, ignored);
  secure.async_handshake(asio::ssl::stream_base::client,
                         [&stream, whose, done = std::move(done)](const ErrorCode& error) {
                           if (error == asio::error::operation_aborted)
                             return done(error.message());
                           done(error ? tls_failure(stream.tls(), whose, error) : std::string{});
                         });
}

}  // namespace fg::net
