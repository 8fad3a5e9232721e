#include "product/analog.h"

#include <algorithm>
#include <cstring>

#include "die/randomness.h"
#include "product/bit_serial.h"

namespace rcompile {
namespace {

constexpr int kMaxWordlines = 4096;

template <class T>
void Grow(std::vector<T>* vector, int64_t size) {
  if (static_cast<int64_t>(vector->size()) < size) vector->resize(size);
}

bool IsRun(const uint8_t* column) {
  for (int j = 1; j < kAnalogLanes; ++j) {
    if (column[j] != column[0] + j) return false;
  }
  return true;
}

}  // namespace

void AnalogInputs::Reserve(int64_t rows, AnalogStorage* storage) {
  storage_ = storage;
  if (plan_.empty()) return;
  Grow(&storage->x, rows * plan_.x_size);
  Grow(&storage->planes, rows * plan_.units);
  Grow(&storage->populations, rows * plan_.units * mode_.planes());
  Grow(&storage->digital, rows * static_cast<int64_t>(plan_.blocks.size()));
  Grow(&storage->digests, rows);
}

void AnalogInputs::PackRow(int64_t row, const int8_t* codes) noexcept {
  if (plan_.empty()) return;
  if (mode_.has_noise || mode_.flip.possible) storage_->digests[row] = RowDigest(codes, config_.inputs);
  for (size_t b = 0; b < plan_.blocks.size(); ++b) {
    int64_t digital = 0;
    for (const AnalogUnit& unit : plan_.blocks[b].units) digital += PackUnit(row, plan_.blocks[b], unit, codes);
    storage_->digital[row * plan_.blocks.size() + b] = digital;
  }
}

// Returns the sum over the planes of what every read subtracts digitally.
int64_t AnalogInputs::PackUnit(int64_t row, const AnalogBlock& block, const AnalogUnit& unit,
                               const int8_t* codes) noexcept {
  uint8_t* x = storage_->x.data() + row * plan_.x_size + unit.x_offset;
  const bool by_sign = config_.input_coding == InputCoding::kSignMagnitude;
  const int passes = by_sign ? 2 : 1;  // the positive planes, then the negative ones
  const int planes = mode_.planes() / passes;
  const int32_t* inputs = block.rows->inputs.data() + unit.wordlines.first;
  uint8_t coded[kMaxWordlines];
  int populations[16];
  for (int pass = 0; pass < passes; ++pass) {
    const int sign = pass == 0 ? 1 : -1;
    for (int i = 0; i < unit.wordlines.count; ++i) {
      const int code = codes[inputs[i]];
      coded[i] = static_cast<uint8_t>(by_sign ? std::max(sign * code, 0) : code + config_.input_offset());
    }
    std::memset(coded + unit.wordlines.count, 0, 8 * unit.octets - unit.wordlines.count);
    const int first_plane = pass * planes;
    PackPlanes(coded, unit.octets, mode_.digits.data() + first_plane, planes, mode_.dac_bits,
               x + 2 * first_plane * mode_.dac_bits * unit.octets, populations + first_plane);
  }
  return SetPopulations(row, unit, populations);
}

int64_t AnalogInputs::SetPopulations(int64_t row, const AnalogUnit& unit, const int* populations) noexcept {
  const int64_t at = row * plan_.units + unit.number;
  unsigned planes = 0;
  int64_t digital = 0;
  for (int plane = 0; plane < mode_.planes(); ++plane) {
    const int population = populations[plane];
    storage_->populations[at * mode_.planes() + plane] = static_cast<uint16_t>(population);
    planes |= static_cast<unsigned>(population > 0 || mode_.reads_silence) << plane;
    digital += mode_.plane_weight[plane] * mode_.digital_leak[population];
  }
  storage_->planes[at] = static_cast<uint16_t>(planes);
  return digital;
}

void AnalogInputs::ReadPanel(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows, int64_t* codes,
                             int64_t* digital) const noexcept {
  if (!plan_.HasPanel(panel)) return;
  WordKey noise_keys[kSerialRows], flip_keys[kSerialRows];
  AnalogRead read{};
  read.rows = rows;
  read.noise_keys = noise_keys;
  read.flip_keys = flip_keys;
  read.codes = codes;
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const AnalogGroup& group = plan_.groups[g];
    const uint64_t noise_key = TileKey(mode_.seed, Purpose::kReadNoise, group.tile);
    const uint64_t flip_key = TileKey(mode_.seed, Purpose::kCodeFlip, group.tile);
    for (int row = 0; row < rows; ++row) {
      noise_keys[row] = Halves(SubKey(noise_key, storage_->digests[first_row + row]));
      flip_keys[row] = Halves(SubKey(flip_key, storage_->digests[first_row + row]));
    }
    for (int vector = 0; vector < group.vectors; ++vector) ReadVector(kernels, group, vector, first_row, &read);
    AddDigital(group, first_row, rows, digital);
  }
}

// Completes `read` for each unit of a row block in turn.
void AnalogInputs::ReadVector(const KernelTable& kernels, const AnalogGroup& group, int vector, int64_t first_row,
                              AnalogRead* read) const noexcept {
  const AnalogBlock& block = plan_.blocks[group.block];
  const int64_t first_lane = group.first_lane + int64_t{vector} * kAnalogLanes;
  const int64_t bitlines = group.bitlines + int64_t{vector} * group.replicas * kAnalogLanes;
  read->conversion = mode_.conversion;
  read->dac_bits = mode_.dac_bits;
  read->vote = mode_.vote;
  read->replicas = group.replicas;
  read->replica_stride = static_cast<int64_t>(block.rows->wordlines.size()) * kAnalogLanes;
  read->x_stride = plan_.x_size;
  read->planes_stride = plan_.units;
  read->population_stride = plan_.units * mode_.planes();
  read->plane_weight = mode_.plane_weight.data();
  read->bias = mode_.bias.data();
  read->leak = mode_.leak.data();
  read->noise = mode_.has_noise ? mode_.noise.data() : nullptr;
  read->bitline = plan_.bitline.data() + bitlines;
  read->gain = plan_.gain.data() + bitlines;
  read->offset = plan_.offset.data() + bitlines;
  read->plane_counters = static_cast<uint32_t>(cols_);
  read->flip = mode_.flip;
  read->flip_bit = mode_.flip_bit;
  read->adc_bits = config_.adc_bits;
  read->step = config_.adc_step_levels;
  read->code_max = config_.adc_bits == 0 ? 0 : static_cast<int32_t>(config_.adc_max());
  read->column = plan_.column.data() + first_lane;
  read->weight = plan_.weight.data() + first_lane;
  read->is_run = IsRun(read->column);
  const int16_t* levels = plan_.levels.data() + group.levels + vector * group.replicas * read->replica_stride;
  for (const AnalogUnit& unit : block.units) {
    const int64_t at = first_row * plan_.units + unit.number;
    read->wordlines = unit.wordlines.count;
    read->levels = levels + int64_t{unit.wordlines.first} * kAnalogLanes;
    read->x = storage_->x.data() + first_row * plan_.x_size + unit.x_offset;
    read->x_bit_stride = 2 * unit.octets;
    read->planes = storage_->planes.data() + at;
    read->populations = storage_->populations.data() + at * mode_.planes();
    read->first_counter = unit.in_crossbar * static_cast<uint32_t>(mode_.planes()) * static_cast<uint32_t>(cols_);
    kernels.reads.analog(*read);
  }
}

// What a read subtracts digitally is the same for every bitline but for its weight: one sum per row serves the group.
void AnalogInputs::AddDigital(const AnalogGroup& group, int64_t first_row, int rows, int64_t* digital) const noexcept {
  int64_t weight[kPanelWidth] = {};
  const int64_t end = group.first_lane + int64_t{group.vectors} * kAnalogLanes;
  for (int64_t lane = group.first_lane; lane < end; ++lane) weight[plan_.column[lane]] += plan_.weight[lane];
  for (int row = 0; row < rows; ++row) {
    const int64_t sum = storage_->digital[(first_row + row) * plan_.blocks.size() + group.block];
    if (sum == 0) continue;
    for (int j = 0; j < kPanelWidth; ++j) digital[row * kPanelWidth + j] -= weight[j] * sum;
  }
}

}  // namespace rcompile
