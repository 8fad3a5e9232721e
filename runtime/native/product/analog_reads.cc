#include "product/analog_reads.h"

#include "die/randomness.h"

namespace rcompile {

void AnalogReads::AddPanel(int64_t panel, int64_t first_row, int rows, int64_t* codes) const noexcept {
  WordKey noise_keys[kReadRows] = {}, flip_keys[kReadRows] = {};
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const ReadGroup& group = plan_.groups[g];
    const int64_t crossbar = layer_.arrays().crossbar[group.tile];
    const uint64_t noise_key = CrossbarKey(mode_.seed, Purpose::kReadNoise, crossbar);
    const uint64_t flip_key = CrossbarKey(mode_.seed, Purpose::kCodeFlip, crossbar);
    for (int row = 0; mode_.needs_digests && row < rows; ++row) {
      const uint64_t digest = inputs_.digest(first_row + row);
      noise_keys[row] = Halves(RowKey(noise_key, digest));
      flip_keys[row] = Halves(RowKey(flip_key, digest));
    }
    for (int vector = 0; vector < group.vectors; ++vector) {
      AnalogRead read = ReadOf(group, vector);
      read.noise_keys = noise_keys;
      read.flip_keys = flip_keys;
      read.codes = codes;
      ReadVector(group, vector, first_row, rows, &read);
    }
  }
}

// What does not differ from unit to unit.
AnalogRead AnalogReads::ReadOf(const ReadGroup& group, int vector) const noexcept {
  const int64_t first_lane = group.first_lane + int64_t{vector} * kAnalogLanes;
  const int64_t first_replica = group.first_replica + int64_t{vector} * group.replicas * kAnalogLanes;
  AnalogRead read{};
  read.conversion = mode_.conversion;
  read.vote = mode_.vote;
  read.replicas = group.replicas;
  read.replica_stride = plan_.blocks[group.block].levels * kAnalogLanes;
  read.bias = mode_.bias.data();
  read.leak = mode_.leak.data();
  read.noise = mode_.has_noise ? mode_.noise.data() : nullptr;
  read.bitline = plan_.bitline.data() + first_replica;
  if (mode_.conversion == Conversion::kAny) {
    read.gain = plan_.gain.data() + first_replica;
    read.offset = plan_.offset.data() + first_replica;
  }
  read.plane_counters = static_cast<uint32_t>(layer_.arrays().cols);
  read.flip = mode_.flip;
  read.flip_bit = mode_.flip_bit;
  read.adc_bits = mode_.adc_bits;
  read.converter = mode_.converter;
  read.column = plan_.column.data() + first_lane;
  read.weight = plan_.weight.data() + first_lane;
  read.is_run = AreConsecutive(read.column, kAnalogLanes);
  return read;
}

// Completes `read` for each unit of a row block in turn.
void AnalogReads::ReadVector(const ReadGroup& group, int vector, int64_t first_row, int rows,
                             AnalogRead* read) const noexcept {
  const uint32_t counters = static_cast<uint32_t>(mode_.planes.size()) * read->plane_counters;  // of a unit
  const int16_t* levels = plan_.levels.data() + group.first_level + vector * group.replicas * read->replica_stride;
  for (const ReadUnit& unit : plan_.blocks[group.block].units) {
    if (!inputs_.Get(unit, first_row, rows, &read->inputs)) continue;
    read->levels = levels + unit.first_level * kAnalogLanes;
    read->first_counter = static_cast<uint32_t>(unit.in_crossbar) * counters;
    kernels_.reads.analog(*read);
  }
}

}  // namespace rcompile
