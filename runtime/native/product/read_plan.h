// Bitlines that are computed read by read: how their reads go, and in which order.  What reads of whole levels and
// reads of analog ones share; the rest is in whole_reads.h and analog_reads.h.
#pragma once

#include <cstdint>
#include <vector>

#include "layer/layer.h"
#include "product/planes.h"
#include "simd/kernels.h"

namespace rcompile {

// How a layer's reads are computed.
struct ReadMode {
  ReadMode(const LayerConfig& config, Vote vote);
  // With look-ups, lanes of a row: a power of two.
  int row_lanes() const { return planes.size() <= 4 ? 4 : planes.size() <= 8 ? 8 : 16; }

  std::vector<Plane> planes;
  std::vector<int32_t> plane_weight;
  int dac_bits;
  Vote vote;
  // Wordlines of a look-up if the lanes of a vector are reads, of a row of x and a plane each (lookup_read_kernel.h); 0
  // if they are bitlines.
  int lookup = 0;
  int lanes = 0;               // bitlines of a vector; with look-ups, of a pair
  int sign = 1;                // of what codes contribute
  bool needs_digests = false;  // of the rows of x
  // By population, the sum of the pulses of a read:
  std::vector<uint8_t> is_read;      // the others contribute nothing
  std::vector<int64_t> digital;      // what a read subtracts digitally; empty: nothing
  std::vector<uint8_t> lane_limits;  // with look-ups: where sums are clipped; empty: all alike
};

// An operation unit of a row block, and its place in what is stored per row of x.
struct ReadUnit {
  OperationUnit wordlines;
  int64_t in_crossbar;  // its number there, those that are not driven included
  int64_t number;       // among all units
  int groups;           // of 8 wordlines, or of as many as a look-up takes
  int64_t first_group;  // among all groups
  int64_t first_level;  // among those of a bitline
};

struct ReadBlock {
  const RowBlock* rows;
  std::vector<ReadUnit> units;
  int64_t levels;  // of a bitline: one a driven wordline; with look-ups, bytes of packed ones
};

// Bitlines of one row block and one panel, sorted so that lanes mostly hold consecutive outputs.  With a vote, each
// lane is a vote group, and all have equally many replicas.
struct ReadGroup {
  int64_t panel;
  int block;
  int64_t tile;  // of the first bitline
  int replicas;
  int64_t count;          // of bitlines or vote groups
  int vectors;            // of ReadMode::lanes
  int64_t first_lane;     // in `column` and `weight`
  int64_t first_replica;  // of [vector][replica][lane]
  int64_t first_level;    // of [vector][replica][level][lane]; with look-ups, of [bitline][packed levels]
};

// Immutable once built.
struct ReadPlan {
  std::vector<ReadBlock> blocks;
  std::vector<ReadGroup> groups;
  std::vector<int64_t> panel_begin;  // groups of panel p: panel_begin[p] .. panel_begin[p + 1]
  std::vector<uint8_t> column;
  std::vector<int32_t> weight;  // of a code; 0: no bitline in the lane
  // Of all row blocks, and so per row of x:
  int64_t x_groups = 0;
  int64_t units = 0;
  // Of all groups:
  int64_t replica_count = 0;
  int64_t level_count = 0;

  bool empty() const { return groups.empty(); }
  bool HasPanel(int64_t panel) const { return !empty() && panel_begin[panel] < panel_begin[panel + 1]; }
};

// Whether the columns of so many lanes are consecutive.
bool AreConsecutive(const uint8_t* column, int lanes);

// A bitline or a vote group on its way into a plan.
struct ReadBitline {
  int64_t panel;
  int block;  // of the plan
  int64_t tile;
  int replicas;
  int32_t weight;
  int32_t output;
  int64_t source;  // where its levels come from
};

// Bitlines of a tile, and by bitline of the tile the parts of its digit that it is worth.
struct Columns {
  std::vector<int32_t> bitlines;
  const std::vector<int32_t>* worth;
};

// Builds what all plans have.
class ReadPlanner {
 public:
  // Keeps references.
  ReadPlanner(const Layer& layer, const ReadMode& mode, ReadPlan* plan) : layer_(layer), mode_(mode), plan_(*plan) {}

  // Appends the bitlines `columns` of a tile of a row block; with a vote, replica 0 of a vote group may have the others
  // after it.  `source` becomes the place of replica 0 among the columns.
  void Collect(int block, int64_t tile, const Columns& columns, std::vector<ReadBitline>* bitlines);
  // Sorts bitlines and makes groups of them, which are appended to the plan, group after group.
  void AddGroups(std::vector<ReadBitline>* bitlines);
  // Puts the groups in the order of the panels.
  void Finish(int64_t panels);

 private:
  int PlanBlock(int block);
  void AddGroup(const ReadBitline* first, const ReadBitline* last);

  const Layer& layer_;
  const ReadMode& mode_;
  ReadPlan& plan_;
  std::vector<int> plan_block_;  // of each row block of the layer, -1: none
};

}  // namespace rcompile
