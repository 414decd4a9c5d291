#include <benchmark/benchmark.h>

#include "packet/checksum.h"
#include "packet/coalesce.h"
#include "packet/demux.h"
#include "packet/rewrite.h"
#include "packet/segment.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

ByteVector segment_of_stream(std::uint32_t i, std::size_t payload) {
  return test::tcp()
      .from("100.64.0.1", 5000)
      .to("10.0.0.1", 80)
      .id(static_cast<std::uint16_t>(i))
      .sequence(i * static_cast<std::uint32_t>(payload))
      .tcp_options(ByteVector(12, 1))
      .payload_size(payload)
      .build();
}

void checksum(benchmark::State& state) {
  const ByteVector data(static_cast<std::size_t>(state.range(0)), 0x5A);
  for (auto _ : state) benchmark::DoNotOptimize(sum_of(data));
}
BENCHMARK(checksum)->Arg(20)->Arg(64)->Arg(1280)->Arg(65535);

void copy_checksum(benchmark::State& state) {
  const ByteVector data(static_cast<std::size_t>(state.range(0)), 0x5A);
  ByteVector to(data.size());
  for (auto _ : state) benchmark::DoNotOptimize(copy_and_sum(to.data(), data));
}
BENCHMARK(copy_checksum)->Arg(64)->Arg(1280);

void demultiplex(benchmark::State& state) {
  ByteVector data(1312);
  write_data_header(data.data(), 7, 9);
  for (auto _ : state) {
    benchmark::DoNotOptimize(data.data());
    benchmark::DoNotOptimize(classify(data));
  }
}
BENCHMARK(demultiplex);

void parse(benchmark::State& state) {
  const auto data = segment_of_stream(0, 1200);
  for (auto _ : state) {
    auto parsed = InnerPacket::parse(data);
    benchmark::DoNotOptimize(parsed);
  }
}
BENCHMARK(parse);

void translate(benchmark::State& state) {
  auto data = segment_of_stream(0, 1200);
  const auto parsed = InnerPacket::parse(data);
  const auto real = test::ip("10.0.0.9");
  const Rewrite change{.towards = Towards::resource,
                       .address = real,
                       .port = 77,
                       .address_change = change_of(parsed->destination(), real),
                       .port_change = subtract(77, parsed->proto_class().source)};
  for (auto _ : state) rewrite(data, *parsed, change);
}
BENCHMARK(translate);

// Time per packet of a burst of 64, one flow or 64 flows.
void coalesce(benchmark::State& state) {
  const bool one_flow = state.range(0) == 1;
  std::vector<ByteVector> originals;
  for (std::uint32_t i = 0; i < 64; ++i) {
    originals.push_back(segment_of_stream(i, 1200));
    if (!one_flow) store_be16(originals.back().data() + 20, static_cast<std::uint16_t>(i));
  }
  std::vector<InnerPacket> parsed;
  auto packets = originals;
  for (const auto& p : packets) parsed.push_back(*InnerPacket::parse(p));
  Coalescer coalescer{{}};
  for (auto _ : state) {
    for (std::size_t i = 0; i < packets.size(); ++i) {
      std::memcpy(packets[i].data(), originals[i].data(), 52);  // heads are patched by flush()
      coalescer.add(packets[i], parsed[i]);
    }
    coalescer.flush([](const Aggregate& a) { benchmark::DoNotOptimize(a.parts.data()); });
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(coalesce)->Arg(1)->Arg(64);

void split(benchmark::State& state) {
  const auto data = segment_of_stream(0, 50 * 1200);
  const auto parsed = InnerPacket::parse(data, kSuperPacketMax);
  const VnetHeader header{.flags = 1,
                          .gso_type = 1,
                          .header_length = 52,
                          .gso_size = 1200,
                          .checksum_start = 20,
                          .checksum_offset = 16};
  ByteVector out(kPacketMax);
  for (auto _ : state) {
    const auto segments = Segments::of(header, *parsed);
    for (std::size_t i = 0; i < segments->count(); ++i) segments->write(i, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * 50);
}
BENCHMARK(split);

}  // namespace
}  // namespace fg::packet
