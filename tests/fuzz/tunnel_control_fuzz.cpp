// The JSON of in-tunnel control packets: what a client announces, and our answer to it.
#include "control/controller/tunnel_control.h"
#include "control/portal/json.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::controller;

void run(Bytes input) {
  const auto announced = parse_assigned_ips(input);
  if (!announced) return;
  FG_LAW(announced->proxy_ips.size() <= kAnnouncedProxiesMax);
  FG_LAW(!announced->domain.empty() && announced->domain.size() <= kDomainMax);
  for (const bool active : {true, false}) {
    const auto text = domain_status(announced->resource, announced->domain, active);
    const auto answer = portal::parse_json(text);
    FG_LAW(answer.has_value());
    portal::ObjectReader from{*answer};
    FG_LAW(ResourceId::parse(from.text("resource")) == announced->resource);
    FG_LAW(from.text("domain") == announced->domain);
    FG_LAW(from.text("status") == (active ? "Active" : "Inactive") && from.ok());
  }
}

}  // namespace

FG_FUZZ_TARGET(run)
