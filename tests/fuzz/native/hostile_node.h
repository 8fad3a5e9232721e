// Nodes made of random bytes: a sound layer of any shape and hardware, and then some of it changed.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <string>

#include "fake_runtime.h"

namespace fuzz {

// A node whose layer is sound.
ortabi::KernelInfo SoundNode(FuzzedDataProvider* data);
// Changes an attribute, a number of a tensor, its shape, its type or whether it is there.
void ChangeNode(FuzzedDataProvider* data, ortabi::KernelInfo* node);
// Input for the node, most often of the shape that it takes.
ortabi::Value InputOf(FuzzedDataProvider* data, const ortabi::KernelInfo& node);
// The text of a die: keys with values, in and out of their ranges.
std::string DieText(FuzzedDataProvider* data);

}  // namespace fuzz
