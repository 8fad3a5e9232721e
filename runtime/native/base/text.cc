#include "base/text.h"

#include <array>
#include <charconv>

#include "base/error.h"

namespace rcompile {
namespace {

constexpr int kNotBase64 = 64;

template <class Number>
Number ParseNumber(std::string_view text, const std::string& what) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end) throw Error(what + " " + Quoted(text) + " is not a number");
  return value;
}

constexpr std::array<uint8_t, 256> MakeBase64Table() {
  std::array<uint8_t, 256> table{};
  table.fill(kNotBase64);
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  return table;
}
constexpr std::array<uint8_t, 256> kBase64 = MakeBase64Table();

}  // namespace

std::string Quoted(std::string_view text) { return std::string("'").append(text.substr(0, 80)) + "'"; }

double ParseDecimal(std::string_view text, const std::string& what) { return ParseNumber<double>(text, what); }
int64_t ParseInteger(std::string_view text, const std::string& what) { return ParseNumber<int64_t>(text, what); }
uint64_t ParseUnsigned(std::string_view text, const std::string& what) { return ParseNumber<uint64_t>(text, what); }

std::vector<uint8_t> DecodeBase64(std::string_view text, const std::string& what) {
  if (text.size() % 4 != 0) throw Error(what + " is not base64: its length is no multiple of 4");
  size_t symbols = text.size();
  for (int padding = 0; padding < 2 && symbols > 0 && text[symbols - 1] == '='; ++padding) --symbols;
  std::vector<uint8_t> bytes(symbols * 3 / 4);
  size_t written = 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < symbols; ++i) {
    const uint8_t value = kBase64[static_cast<uint8_t>(text[i])];
    if (value == kNotBase64) throw Error(what + " is not base64 at character " + std::to_string(i));
    bits = bits << 6 | value;
    if (i % 4 != 0) bytes[written++] = static_cast<uint8_t>(bits >> (6 - i % 4 * 2));
  }
  return bytes;
}

}  // namespace rcompile
