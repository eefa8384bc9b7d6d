//! Convex programmes behind a C ABI, solved by Clarabel (Goulart and Chen 2024, an interior-point method for conic programmes):
//!
//!   minimise  x'Px / 2 + q'x   subject to  A x + s = b,  s in a product of cones
//!
//! All memory is the caller's. A panic ends here as a status; nothing is printed.
use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver, SolverStatus, SupportedConeT};
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice::from_raw_parts;

/// Columns compressed: the rows and values of column j are entries starts[j] to starts[j + 1].
#[repr(C)]
pub struct AstgnnMatrix {
    starts: *const i32,
    rows: *const i32,
    values: *const f64,
}

/// `kind` 0: zero cone, 1: nonnegative cone, 2: second-order cone (its first entry bounds the norm of the rest).
#[repr(C)]
pub struct AstgnnCone {
    kind: i32,
    size: i32,
}

#[repr(C)]
pub struct AstgnnProgramme {
    variables: i32,
    constraints: i32,
    cones: i32,
    /// The upper triangle of P.
    p: AstgnnMatrix,
    q: *const f64,
    a: AstgnnMatrix,
    b: *const f64,
    cone: *const AstgnnCone,
    /// Relative, of feasibility and of the gap between primal and dual.
    tolerance: f64,
    time_limit_s: f64,
    iterations: i32,
    /// Asked before each iteration: other than 0 stops.
    stop: Option<extern "C" fn(*mut c_void) -> i32>,
    stop_data: *mut c_void,
}

#[repr(C)]
pub struct AstgnnSolution {
    /// [variables], [constraints]
    x: *mut f64,
    z: *mut f64,
    objective: f64,
    dual_objective: f64,
    iterations: i32,
}

/// 0 solved, 1 to a lower accuracy than asked, 2 infeasible, 3 unbounded, 4 out of iterations, 5 out of time, 6 stopped, 7 no progress or a
/// numerical failure, 8 not a programme, 9 a panic.
///
/// # Safety
/// Pointers must be valid for the lengths that the sizes say.
#[no_mangle]
pub unsafe extern "C" fn astgnn_solve(programme: *const AstgnnProgramme, solution: *mut AstgnnSolution) -> i32 {
    catch_unwind(AssertUnwindSafe(|| solve(&*programme, &mut *solution))).unwrap_or(9)
}

unsafe fn matrix(m: usize, n: usize, from: &AstgnnMatrix) -> CscMatrix<f64> {
    let size = |values: &[i32]| values.iter().map(|&value| value as usize).collect::<Vec<_>>();
    let starts = size(from_raw_parts(from.starts, n + 1));
    let count = starts[n];
    CscMatrix { m, n, colptr: starts, rowval: size(part(from.rows, count)), nzval: part(from.values, count).to_vec() }
}

/// A slice of nothing may have any pointer.
unsafe fn part<'a, T>(from: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        &[]
    } else {
        from_raw_parts(from, count)
    }
}

unsafe fn solve(given: &AstgnnProgramme, out: &mut AstgnnSolution) -> i32 {
    // The default hook would print to the user's terminal.
    std::panic::set_hook(Box::new(|_| {}));
    let (n, m) = (given.variables as usize, given.constraints as usize);
    let (p, a) = (matrix(n, n, &given.p), matrix(m, n, &given.a));
    if p.check_format().is_err() || a.check_format().is_err() {
        return 8;
    }
    let mut cones = Vec::with_capacity(given.cones as usize);
    for cone in part(given.cone, given.cones as usize) {
        let size = cone.size as usize;
        cones.push(match cone.kind {
            0 => SupportedConeT::ZeroConeT(size),
            1 => SupportedConeT::NonnegativeConeT(size),
            _ => SupportedConeT::SecondOrderConeT(size),
        });
    }
    let settings = DefaultSettingsBuilder::default()
        .verbose(false)
        .max_iter(given.iterations as u32)
        .time_limit(given.time_limit_s)
        .tol_gap_abs(given.tolerance * 1e-4)
        .tol_gap_rel(given.tolerance)
        .tol_feas(given.tolerance)
        .direct_solve_method("qdldl".to_string())
        .max_threads(1)
        // Rows are read back by their number.
        .presolve_enable(false)
        .build();
    let Ok(settings) = settings else { return 8 };
    let solver = DefaultSolver::new(&p, part(given.q, n), &a, part(given.b, m), &cones, settings);
    let Ok(mut solver) = solver else { return 8 };
    if let Some(stop) = given.stop {
        let data = given.stop_data as usize;
        solver.set_termination_callback(move |_: &_| stop(data as *mut c_void) != 0);
    }
    solver.solve();
    let found = &solver.solution;
    std::slice::from_raw_parts_mut(out.x, n).copy_from_slice(&found.x);
    if m > 0 {
        std::slice::from_raw_parts_mut(out.z, m).copy_from_slice(&found.z);
    }
    out.objective = found.obj_val;
    out.dual_objective = found.obj_val_dual;
    out.iterations = found.iterations as i32;
    match found.status {
        SolverStatus::Solved => 0,
        SolverStatus::AlmostSolved => 1,
        SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible => 2,
        SolverStatus::DualInfeasible | SolverStatus::AlmostDualInfeasible => 3,
        SolverStatus::MaxIterations => 4,
        SolverStatus::MaxTime => 5,
        SolverStatus::CallbackTerminated => 6,
        _ => 7,
    }
}
