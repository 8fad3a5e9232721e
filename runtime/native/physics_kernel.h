// The table of physics.h for whatever instruction set includes this file.
#pragma once

#include "analog_kernel.h"
#include "cells_kernel.h"

namespace rcompile {
namespace {

constexpr PhysicsKernels kPhysics = {
    StuckCodes, ApplyFaults, AnalogLevels, SeeThrough,       ReadBack,    AccumulateGrid,
    BytePlanes, PackPlane<int32_t>, DrawEvents, DrawExponentials, DrawNormals, ReadAnalog,
};

}  // namespace
}  // namespace rcompile
