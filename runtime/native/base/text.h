// Texts that come from outside: numbers, base64, and how messages quote them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rcompile {

// In quotes, cut off where it is long.
std::string Quoted(std::string_view text);

// Locale-free; these throw Error naming `what` and the text.
double ParseDecimal(std::string_view text, const std::string& what);
int64_t ParseInteger(std::string_view text, const std::string& what);
uint64_t ParseUnsigned(std::string_view text, const std::string& what);

// Throws Error naming `what`.
std::vector<uint8_t> DecodeBase64(std::string_view text, const std::string& what);

}  // namespace rcompile
