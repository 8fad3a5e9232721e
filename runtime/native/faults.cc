#include "faults.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <tuple>

#include "ort_call.h"

namespace rcompile {
namespace {

constexpr double kTwo32 = 4294967296.0;
constexpr int kNotBase64 = 64;

uint64_t Mix64(uint64_t z) {
  z ^= z >> 30;
  z *= 0xBF58476D1CE4E5B9u;
  z ^= z >> 27;
  z *= 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::string Quoted(std::string_view text) { return "'" + std::string(text.substr(0, 80)) + "'"; }

template <class Number>
Number ParseNumber(std::string_view text, const std::string& what) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end) throw Error(what + " " + Quoted(text) + " is not a number");
  return value;
}

double ParseRate(std::string_view text, const std::string& what) {
  const double rate = ParseDecimal(text, what);
  if (!(rate >= 0 && rate <= 1)) throw Error(what + " " + Quoted(text) + " is not in 0 .. 1");
  return rate;
}

Die ParseVirtualDie(std::string_view text) {
  Die die;
  die.kind = Die::Kind::kVirtual;
  double sa0 = 0, sa1 = 0;
  bool seen[3] = {};
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const size_t equals = std::min(item.find('='), item.size());
    const std::string_view key = item.substr(0, equals);
    const std::string_view value = item.substr(std::min(item.size(), equals + 1));
    const int which = key == "seed" ? 0 : key == "sa0" ? 1 : key == "sa1" ? 2 : -1;
    if (which < 0 || seen[which]) {
      throw Error("die: " + Quoted(item) + " is not one of seed=, sa0=, sa1=, each at most once");
    }
    seen[which] = true;
    if (which == 0) die.seed = ParseUnsigned(value, "die seed");
    if (which == 1) sa0 = ParseRate(value, "die rate sa0");
    if (which == 2) sa1 = ParseRate(value, "die rate sa1");
  }
  if (sa0 + sa1 > 1) throw Error("die: the rates in " + Quoted(text) + " add up to more than 1");
  die.sa0_threshold = static_cast<uint64_t>(sa0 * kTwo32);
  die.sa1_threshold = static_cast<uint64_t>(sa1 * kTwo32);
  return die;
}

std::array<uint8_t, 256> MakeBase64Table() {
  std::array<uint8_t, 256> table;
  table.fill(kNotBase64);
  const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int i = 0; i < 64; ++i) table[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  return table;
}

FaultMap DecodeBase64(std::string_view text, const std::string& what) {
  static const std::array<uint8_t, 256> table = MakeBase64Table();
  if (text.size() % 4 != 0) throw Error(what + " is not base64: its length is no multiple of 4");
  size_t symbols = text.size();
  for (int padding = 0; padding < 2 && symbols > 0 && text[symbols - 1] == '='; ++padding) --symbols;
  FaultMap bytes(symbols * 3 / 4);
  size_t written = 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < symbols; ++i) {
    const uint8_t value = table[static_cast<uint8_t>(text[i])];
    if (value == kNotBase64) throw Error(what + " is not base64 at character " + std::to_string(i));
    bits = bits << 6 | value;
    if (i % 4 != 0) bytes[written++] = static_cast<uint8_t>(bits >> (6 - i % 4 * 2));
  }
  return bytes;
}

}  // namespace

bool Die::operator==(const Die& other) const {
  return std::tie(kind, seed, sa0_threshold, sa1_threshold, maps) ==
         std::tie(other.kind, other.seed, other.sa0_threshold, other.sa1_threshold, other.maps);
}

double ParseDecimal(std::string_view text, const std::string& what) { return ParseNumber<double>(text, what); }
uint64_t ParseUnsigned(std::string_view text, const std::string& what) { return ParseNumber<uint64_t>(text, what); }

TileHash MakeTileHash(const Die& die, int64_t tile_in_bundle) {
  const uint64_t key = Mix64(die.seed ^ Mix64(static_cast<uint64_t>(tile_in_bundle) + 0x9E3779B97F4A7C15u));
  TileHash hash;
  hash.key_low = static_cast<uint32_t>(key);
  hash.key_high = static_cast<uint32_t>(key >> 32);
  hash.has_sa0 = die.sa0_threshold > 0;
  hash.has_sa1 = die.sa1_threshold > 0;
  hash.sa1_last = static_cast<uint32_t>(die.sa1_threshold - 1);
  hash.sa0_first = static_cast<uint32_t>((uint64_t{1} << 32) - die.sa0_threshold);
  return hash;
}

Die ParseDie(std::string_view text) {
  Die die;
  if (text == "clean") return die;
  if (text == "map") {
    die.kind = Die::Kind::kMapped;
    return die;
  }
  if (text.empty()) throw Error("die: the text is empty");
  if (text.back() == ',') throw Error("die: " + Quoted(text) + " ends with a comma");
  return ParseVirtualDie(text);
}

FaultMap ParseFaultMap(std::string_view base64, int64_t cells, const std::string& layer) {
  const std::string what = "fault map of layer '" + layer + "'";
  FaultMap map = DecodeBase64(base64, what);
  const size_t expected = static_cast<size_t>((cells + 3) / 4);
  if (map.size() != expected) {
    throw Error(what + " has " + std::to_string(map.size()) + " bytes, not " + std::to_string(expected));
  }
  for (size_t i = 0; i < map.size(); ++i) {
    if ((map[i] & map[i] >> 1 & 0x55) == 0) continue;
    throw Error(what + " holds fault 3 in byte " + std::to_string(i));
  }
  if (cells % 4 != 0 && map.back() >> (cells % 4 * 2) != 0) throw Error(what + " is not padded with 0");
  return map;
}

FaultCount ApplyFaultMap(const FaultMap& map, int64_t first_cell, int64_t cells, uint8_t top,
                         const uint8_t* programmed, uint8_t* actual) {
  std::memcpy(actual, programmed, cells);
  FaultCount count;
  const int64_t end = first_cell + cells;
  for (int64_t byte = first_cell / 4; byte * 4 < end; ++byte) {
    if (map[byte] == 0) continue;  // most of them, at any rate worth mapping
    for (int64_t cell = std::max(first_cell, byte * 4); cell < std::min(end, byte * 4 + 4); ++cell) {
      const int fault = map[byte] >> (cell % 4 * 2) & 3;
      if (fault == 0) continue;
      actual[cell - first_cell] = fault == 2 ? top : 0;
      ++(fault == 2 ? count.sa1 : count.sa0);
    }
  }
  return count;
}

}  // namespace rcompile
