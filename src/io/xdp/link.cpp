#include "io/xdp/link.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/xdp/device.h"

namespace fg::io::xdp {
namespace {

using Reason = AttachError::Reason;

Reason reason_of_socket(int error) {
  switch (error) {
    case ENOBUFS:
    case ENOMEM:
      return Reason::frame_memory;
    case EBUSY:
      return Reason::queue_taken;
    case EPERM:
    case EACCES:
      return Reason::no_permission;
    case EAFNOSUPPORT:
      return Reason::kernel_too_old;
    case ENODEV:
      return Reason::no_interface;
    default:
      return Reason::socket_refused;
  }
}

}  // namespace

Link::~Link() = default;

Result<std::unique_ptr<Link>, AttachError> Link::attach(const LinkOptions& options,
                                                        std::span<XdpPort* const> ports) {
  // What is no interface, or not Ethernet, has its own mend: the attempt says it.
  if (options.need_zero_copy && is_ethernet(options.program.interface)) {
    if (auto obstacle = zero_copy_obstacle(ask_device(options.program.interface)))
      return fail(std::move(*obstacle));
  }
  auto program = Program::attach(options.program);
  if (!program) return fail(std::move(program.error()));
  std::unique_ptr<Link> link{new Link{options}};
  link->mode_ = program->mode();
  link->index_ = program->interface_index();
  link->device_queues_ = program->queues();
  link->program_ = std::move(*program);
  if (auto error = link->open_queues(options, ports)) return fail(std::move(*error));
  if (options.need_zero_copy && !link->is_zero_copy_)
    return fail(AttachError{Reason::only_copies, 0, link->interface_,
                            "it was attached, and a queue gave copies"});

  link->program_->set_tunnel_ports(options.port_v4, options.port_v6);
  for (std::size_t i = 0; i < link->queues_.size(); ++i) {
    auto& queue = link->queues_[i];
    queue.port = ports[(options.first_port + i) % ports.size()];
    if (!queue.port->add(*queue.socket)) {
      queue.port = nullptr;
      continue;  // its packets are the kernel's
    }
    (void)link->program_->set_socket(static_cast<unsigned>(i), queue.socket->fd());
  }
  return link;
}

std::optional<AttachError> Link::open_queues(const LinkOptions& options,
                                             std::span<XdpPort* const> ports) {
  const auto count = std::min<std::size_t>(device_queues_, ports.size() * kQueuesMax);
  const auto sending = options.sends ? send_queues(program_->interface_index()) : 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto socket = QueueSocket::open({.interface = interface_,
                                     .queue = static_cast<unsigned>(i),
                                     .try_zero_copy = mode_ == AttachMode::native,
                                     .send_frames = i < sending ? kSendFrames : 0,
                                     .busy_poll_us = options.busy_poll_us});
    if (!socket) {
      const int error = socket.error().error;
      return AttachError{reason_of_socket(error), error, interface_, "queue " + std::to_string(i)};
    }
    is_zero_copy_ &= (*socket)->is_zero_copy();
    queues_.push_back({std::move(*socket), nullptr, false, {}});
  }
  return std::nullopt;
}

Link::Fault Link::check(DropCounters& drops) {
  DeliveryWatch::Frames frames;
  std::uint64_t room = 0;
  for (auto& queue : queues_) {
    const auto losses = queue.socket->losses();
    drops.count(DropReason::xdp_ring_full, losses.ring_full - queue.losses.ring_full);
    drops.count(DropReason::xdp_no_frame, losses.no_frame - queue.losses.no_frame);
    drops.count(DropReason::xdp_refused, losses.other - queue.losses.other);
    queue.losses = losses;
    frames.arrived += queue.socket->received();
    frames.waiting += queue.socket->waiting();
    frames.lost += losses.ring_full + losses.no_frame;
    room += kReceiveRing;
  }
  if (!program_) return Fault::none;
  if (!program_->is_attached()) return Fault::detached;
  if (program_->queues() != device_queues_) return Fault::queues_changed;
  frames.redirected = program_->counters().redirected();
  return delivery_.check(frames, room) ? Fault::silent : Fault::none;
}

void Link::leave() {
  program_.reset();
  (void)is_done();
}

bool Link::is_done() {
  bool is_done = true;
  for (auto& queue : queues_) {
    if (queue.port == nullptr) continue;
    if (!queue.is_removed) queue.is_removed = queue.port->remove(*queue.socket);
    is_done &= queue.socket->is_released();
  }
  return is_done;
}

}  // namespace fg::io::xdp
