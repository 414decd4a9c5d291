#include "gateway/wan_links.h"

#include <algorithm>

namespace fg::gateway {
namespace {

constexpr int kNestedMax = 4;  // a VLAN in a VLAN and then some

const Interface* find(const std::vector<Interface>& all, unsigned index) {
  const auto at = std::ranges::find(all, index, &Interface::index);
  return at == all.end() ? nullptr : &*at;
}

// Frames of a VLAN are seen, with their tag, at the device it is on.
const Interface* below_vlans(const std::vector<Interface>& all, const Interface* link) {
  for (int i = 0; i < kNestedMax && link->kind == "vlan"; ++i) {
    const auto* parent = find(all, link->parent);
    if (parent == nullptr) break;
    link = parent;
  }
  return link;
}

std::string obstacle_of(const Interface& link) {
  if (link.kind == "bond" || link.kind == "team" || link.kind == "bridge")
    return link.name + " is a " + link.kind +
           ": frames come by the devices under it, and AF_XDP sockets belong to one device; take "
           "the tunnel's address to a device of its own, or keep --backend kernel";
  if (link.kind == "vlan") return link.name + "'s parent is in another network namespace";
  return "";
}

}  // namespace

std::vector<WanLink> wan_links(const std::vector<Interface>& all,
                               const std::vector<unsigned>& routed,
                               const std::vector<std::string>& named) {
  std::vector<WanLink> out;
  const auto add = [&](const Interface* link) {
    link = below_vlans(all, link);
    WanLink wan{link->name, obstacle_of(*link)};
    if (std::ranges::find(out, wan) == out.end()) out.push_back(std::move(wan));
  };
  for (const auto& name : named) {
    const auto at = std::ranges::find(all, name, &Interface::name);
    if (at != all.end())
      add(&*at);
    else
      out.push_back({name, "there is no interface " + name + ": name one that `ip link` lists"});
  }
  if (!named.empty()) return out;
  for (const auto index : routed) {
    const auto* link = find(all, index);
    if (link != nullptr && link->kind != "tun" && !link->is_loopback) add(link);
  }
  return out;
}

}  // namespace fg::gateway
