#include "pipeline/transmit_batcher.h"

namespace fg::pipeline {

TransmitBatcher::TransmitBatcher()
    : buffers_(std::make_unique_for_overwrite<std::uint8_t[]>(kBatches * kStride)) {}

std::uint8_t* TransmitBatcher::reserve(Mark& mark, const Path& path, std::uint8_t ecn,
                                       std::size_t size) noexcept {
  if (mark.epoch_ == epoch_) {
    auto& b = batches_[mark.batch_];
    if (!b.closed && b.ecn == ecn && size <= b.segment && b.count < kSegmentsMax &&
        b.size + size <= kUdpPayloadMax) {
      auto* place = buffers_.get() + mark.batch_ * kStride + b.size;
      b.size += size;
      b.closed = size < b.segment;
      ++b.count;
      pending_ += size;
      return place;
    }
  }
  if (used_ == kBatches || pending_ >= kPendingMax) return nullptr;
  mark.epoch_ = epoch_;
  mark.batch_ = used_;
  batches_[used_] = {.size = size, .segment = size, .count = 1, .ecn = ecn, .closed = false};
  auto& out = out_[used_];
  out.to = path.remote;
  out.from.reset();
  if (path.kind == Path::Kind::direct) out.from = path.local;
  pending_ += size;
  return buffers_.get() + used_++ * kStride;
}

std::span<const OutgoingDatagrams> TransmitBatcher::take() noexcept {
  for (std::size_t i = 0; i < used_; ++i) {
    const auto& b = batches_[i];
    out_[i].ecn = b.ecn;
    out_[i].segment = static_cast<std::uint16_t>(b.segment);
    out_[i].bytes = {buffers_.get() + i * kStride, b.size};
  }
  const auto n = used_;
  used_ = 0;
  pending_ = 0;
  ++epoch_;
  return {out_.data(), n};
}

}  // namespace fg::pipeline
