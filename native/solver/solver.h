// The C ABI of the crate beside this file (solver.rs): convex programmes solved by Clarabel.
//
//   minimise  x'Px / 2 + q'x   subject to  A x + s = b,  s in a product of cones
#pragma once

#include <cstdint>

extern "C" {

// Columns compressed: the rows and values of column j are entries starts[j] to starts[j + 1].
struct AstgnnMatrix {
  const int32_t* starts;
  const int32_t* rows;
  const double* values;
};

// kind 0: zero cone, 1: nonnegative cone, 2: second-order cone, whose first entry bounds the norm
// of the rest.
struct AstgnnCone {
  int32_t kind, size;
};

struct AstgnnProgramme {
  int32_t variables, constraints, cones;
  AstgnnMatrix p;  // upper triangle
  const double* q;
  AstgnnMatrix a;
  const double* b;
  const AstgnnCone* cone;
  double tolerance;  // relative, of feasibility and of the gap between primal and dual
  double time_limit_s;
  int32_t iterations;
  int32_t (*stop)(void*);  // asked before each iteration: other than 0 stops
  void* stop_data;
};

struct AstgnnSolution {
  double* x;  // [variables]
  double* z;  // [constraints]
  double objective, dual_objective;
  int32_t iterations;
};

// 0 solved, 1 to a lower accuracy than asked, 2 infeasible, 3 unbounded, 4 out of iterations, 5 out
// of time, 6 stopped, 7 no progress or a numerical failure, 8 not a programme, 9 a panic.
int32_t astgnn_solve(const AstgnnProgramme* programme, AstgnnSolution* solution);
}
