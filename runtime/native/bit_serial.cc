#include "bit_serial.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace rcompile {
namespace {

constexpr int kMaxWordlines = 4096;
constexpr int kMaxLanes = 64;
constexpr uint64_t kLowBits = 0x0101010101010101u;

// Patterns [plane][2 * octets] of codes, and the number of ones in each plane.
void PackPlanes(const uint8_t* coded, int octets, int planes, uint8_t* x, int* populations) {
  std::fill_n(populations, planes, 0);
  for (int octet = 0; octet < octets; ++octet) {
    uint64_t codes = 0;
    for (int i = 0; i < 8; ++i) codes |= static_cast<uint64_t>(coded[8 * octet + i]) << (8 * i);
    for (int plane = 0; plane < planes; ++plane) {
      const uint64_t ones = codes >> plane & kLowBits;
      const unsigned bits = static_cast<unsigned>((ones * 0x0102040810204080u) >> 56);  // the first code's in bit 0
      uint8_t* patterns = x + 2 * (plane * octets + octet);
      patterns[0] = static_cast<uint8_t>((bits & 15) * kPatternScale);
      patterns[1] = static_cast<uint8_t>((bits >> 4) * kPatternScale);
      populations[plane] += static_cast<int>((ones * kLowBits) >> 56);
    }
  }
}

template <class T>
void Grow(std::vector<T>* vector, int64_t size) {
  if (static_cast<int64_t>(vector->size()) < size) vector->resize(size);
}

// One lane after the other is one output after the other, all of the same weight.
bool IsRun(const uint8_t* column, const int32_t* weight, int lanes) {
  for (int j = 1; j < lanes; ++j) {
    if (column[j] != column[0] + j || weight[j] != weight[0]) return false;
  }
  return true;
}

}  // namespace

SerialInputs::SerialInputs(const Layer& layer, const SerialMode& mode, const SerialPlan& plan)
    : config_(layer.config()), mode_(mode), plan_(plan), has_leak_(config_.hrs_levels > 0) {
  if (plan.empty() || !has_leak_) return;
  for (int64_t population = 0; population <= config_.active_rows; ++population) {
    leak_of_.push_back(config_.Leak(population));
    digital_leak_of_.push_back(config_.DigitalLeak(population));
  }
}

void SerialInputs::Reserve(int64_t rows, SerialStorage* storage) {
  storage_ = storage;
  if (plan_.empty()) return;
  Grow(&storage->x, rows * plan_.x_size);
  Grow(&storage->planes, rows * plan_.units);
  if (has_leak_) Grow(&storage->digital, rows * static_cast<int64_t>(plan_.blocks.size()));
  const int64_t terms = has_leak_ ? rows * plan_.terms : mode_.planes();
  if (mode_.kind == ReadKind::kStepped) {
    Grow(&storage->leaks, terms);
    if (!has_leak_) std::fill_n(storage->leaks.begin(), terms, 0.0);
  } else {
    Grow(&storage->limits, terms);
    if (!has_leak_) std::fill_n(storage->limits.begin(), terms, static_cast<uint32_t>(config_.adc_max()));
  }
}

void SerialInputs::PackRow(int64_t row, const int8_t* codes) noexcept {
  for (size_t b = 0; b < plan_.blocks.size(); ++b) {
    int64_t digital = 0;
    for (const SerialUnit& unit : plan_.blocks[b].units) {
      digital += SetTerms(row, unit, PackUnit(row, plan_.blocks[b], unit, codes));
    }
    if (has_leak_) storage_->digital[row * plan_.blocks.size() + b] = digital;
  }
}

SerialInputs::Populations SerialInputs::PackUnit(int64_t row, const SerialBlock& block, const SerialUnit& unit,
                                                 const int8_t* codes) noexcept {
  uint8_t* x = storage_->x.data() + row * plan_.x_size + unit.x_offset;
  const bool by_sign = config_.input_coding == InputCoding::kSignMagnitude;
  const int passes = by_sign ? 2 : 1;  // the positive planes, then the negative ones
  const int planes = mode_.planes() / passes;
  const int32_t* inputs = block.rows->inputs.data() + unit.wordlines.first;
  uint8_t coded[kMaxWordlines];
  Populations populations;
  for (int pass = 0; pass < passes; ++pass) {
    const int sign = pass == 0 ? 1 : -1;
    for (int i = 0; i < unit.wordlines.count; ++i) {
      const int code = codes[inputs[i]];
      coded[i] = static_cast<uint8_t>(by_sign ? std::max(sign * code, 0) : code + config_.input_offset());
    }
    std::memset(coded + unit.wordlines.count, 0, 8 * unit.octets - unit.wordlines.count);
    PackPlanes(coded, unit.octets, planes, x + 2 * pass * planes * unit.octets, populations.data() + pass * planes);
  }
  return populations;
}

// Decides which planes to read; with leakage also sets the unit's limits or leaks, and returns the sum over the planes
// of what every read subtracts digitally.
int64_t SerialInputs::SetTerms(int64_t row, const SerialUnit& unit, const Populations& populations) noexcept {
  const int64_t term = row * plan_.terms + unit.term_offset;
  unsigned planes = 0;
  int64_t digital = 0;
  for (int plane = 0; plane < mode_.planes(); ++plane) {
    const int population = populations[plane];
    const int64_t leak = has_leak_ ? digital_leak_of_[population] : 0;
    const int64_t limit = config_.adc_max() - leak;  // min(sum + leak, max) - leak
    const bool excess = mode_.kind == ReadKind::kExcess;
    const bool matters = excess ? int64_t{population} * config_.top_level() > limit : population > 0;
    planes |= static_cast<unsigned>(matters) << plane;
    if (!has_leak_) continue;
    const int64_t weight = mode_.plane_weight[plane];
    if (mode_.kind == ReadKind::kStepped) {
      storage_->leaks[term + plane] = leak_of_[population];
      digital += weight * leak;
    } else {
      // A negative limit has a part that no unsigned lane can hold.
      storage_->limits[term + plane] =
          static_cast<uint32_t>(std::clamp<int64_t>(limit, 0, std::numeric_limits<uint32_t>::max()));
      digital += weight * std::min<int64_t>(limit, 0) * (excess ? 1 : -1);
    }
  }
  storage_->planes[row * plan_.units + unit.number] = static_cast<uint16_t>(planes);
  return digital;
}

void SerialInputs::ReadPanel(const KernelTable& kernels, int64_t panel, int64_t first_row, int rows, int64_t* codes,
                             int64_t* digital) const noexcept {
  if (!plan_.HasPanel(panel)) return;
  for (int64_t g = plan_.panel_begin[panel]; g < plan_.panel_begin[panel + 1]; ++g) {
    const SerialGroup& group = plan_.groups[g];
    for (int vector = 0; vector < group.vectors; ++vector) {
      ReadVector(kernels, group, vector, first_row, rows, codes);
    }
    if (has_leak_) AddDigital(group, first_row, rows, digital);
  }
}

bool SerialInputs::AnyPlane(const SerialUnit& unit, int64_t first_row, int rows) const noexcept {
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    if (storage_->planes[row * plan_.units + unit.number] != 0) return true;
  }
  return false;
}

void SerialInputs::ReadVector(const KernelTable& kernels, const SerialGroup& group, int vector, int64_t first_row,
                              int rows, int64_t* codes) const noexcept {
  const SerialBlock& block = plan_.blocks[group.block];
  const int lanes = mode_.lanes;
  const int64_t first_lane = group.first_lane + vector * lanes;
  const uint8_t* column = plan_.column.data() + first_lane;
  const int32_t* weight = plan_.weight.data() + first_lane;
  SerialRead read{};
  read.rows = rows;
  read.replicas = group.replicas;
  read.replica_stride = static_cast<int64_t>(block.rows->wordlines.size()) * lanes;
  const int64_t levels = group.levels + vector * group.replicas * read.replica_stride;
  if (IsRun(column, weight, lanes)) {
    read.codes = codes + column[0];
    read.codes_stride = kPanelWidth;
    read.codes_weight = weight[0];
    ReadUnits(kernels, block, levels, first_row, &read);
    return;
  }
  int64_t lane_codes[kSerialRows * kMaxLanes];
  std::fill_n(lane_codes, rows * lanes, 0);
  read.codes = lane_codes;
  read.codes_stride = lanes;
  read.codes_weight = 1;
  if (!ReadUnits(kernels, block, levels, first_row, &read)) return;
  kernels.scatter(lane_codes, lanes, rows, column, weight, codes);
}

// Completes `read` for each unit of a row block in turn; false if there was nothing to read.
bool SerialInputs::ReadUnits(const KernelTable& kernels, const SerialBlock& block, int64_t levels, int64_t first_row,
                             SerialRead* read) const noexcept {
  read->kind = mode_.kind;
  read->vote = mode_.vote;
  read->lane_bytes = mode_.lane_bytes;
  read->is_unsigned = config_.input_coding == InputCoding::kOffset;
  read->x_stride = plan_.x_size;
  read->planes_stride = plan_.units;
  read->plane_weight = mode_.plane_weight.data();
  read->term_stride = has_leak_ ? plan_.terms : 0;
  read->step = config_.adc_step_levels;
  read->code_max = config_.adc_max();
  bool any = false;
  for (const SerialUnit& unit : block.units) {
    if (!AnyPlane(unit, first_row, read->rows)) continue;
    any = true;
    const int64_t term = has_leak_ ? first_row * plan_.terms + unit.term_offset : 0;
    read->wordlines = unit.wordlines.count;
    read->levels = plan_.levels.data() + levels + static_cast<int64_t>(unit.wordlines.first) * mode_.lanes;
    read->x = storage_->x.data() + first_row * plan_.x_size + unit.x_offset;
    read->x_plane_stride = 2 * unit.octets;
    read->planes = storage_->planes.data() + first_row * plan_.units + unit.number;
    read->limit = storage_->limits.data() + term;
    read->leak = storage_->leaks.data() + term;
    (mode_.vote == Vote::kNone ? kernels.read : kernels.read_voted)(*read);
  }
  return any;
}

// What a read subtracts digitally is the same for every bitline but for its weight: one sum per row serves the group.
void SerialInputs::AddDigital(const SerialGroup& group, int64_t first_row, int rows, int64_t* digital) const noexcept {
  int64_t weight[kPanelWidth] = {};
  const int64_t end = group.first_lane + static_cast<int64_t>(group.vectors) * mode_.lanes;
  for (int64_t lane = group.first_lane; lane < end; ++lane) weight[plan_.column[lane]] += plan_.weight[lane];
  for (int row = 0; row < rows; ++row) {
    const int64_t sum = storage_->digital[(first_row + row) * plan_.blocks.size() + group.block];
    if (sum == 0) continue;
    for (int j = 0; j < kPanelWidth; ++j) digital[row * kPanelWidth + j] -= weight[j] * sum;
  }
}

}  // namespace rcompile
