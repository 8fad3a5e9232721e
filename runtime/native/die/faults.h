// Stuck cells: drawn, or read from a fault map.  Both give a code a cell: 0 good, 1 + L stuck at level L.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "die/die.h"
#include "simd/kernels.h"

namespace rcompile {

// Which cells of a crossbar are stuck at the ends, and where blocks of cells do not differ, which between.
StuckHash MakeStuckHash(const Die& die, int64_t crossbar);

// The codes of a crossbar of a die that is not mapped.
void DrawFaults(const Die& die, int64_t crossbar, int64_t rows, int64_t cols, uint8_t top, const CellKernels& kernels,
                uint8_t* codes);

// Bits that a packed code takes: 2, 4 or 8, the fewest that hold 1 + top.
int FaultBits(int top);
// Base64 of the fault map of a layer with `cells` cells: packed codes, the first cell in the low bits.
FaultMap ParseFaultMap(std::string_view base64, int64_t cells, int top, const std::string& layer);
// The codes of the cells first_cell .. first_cell + cells - 1.
void UnpackFaults(const FaultMap& map, int top, int64_t first_cell, int64_t cells, uint8_t* codes);

}  // namespace rcompile
