/* The program's C headers, for C++. What they include of the system comes first, outside. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "kernels/bf16.h"
#include "kernels/cuda_backend.h"
#include "kernels/fmath.h"
#include "kernels/number.h"
#include "kernels/ops.h"
#include "kernels/shape_check.h"
}
