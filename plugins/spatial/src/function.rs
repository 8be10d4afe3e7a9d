//! Matrix functions with a reverse sweep, such as the exponential.

/// A power series of a non-negative matrix with row sums of at most 1, and the
/// reverse sweep through it; both N×N, row-major.
pub(crate) trait Function<T = f32> {
    /// The argument, to be written before [`Function::forward`].
    fn argument_mut(&mut self) -> &mut [T];
    /// The argument.
    fn argument(&self) -> &[T];
    /// The function of the argument, after [`Function::forward`].
    fn result(&self) -> &[T];
    /// The adjoint of the result, to be written before [`Function::backward`].
    fn adjoint_mut(&mut self) -> &mut [T];
    /// The adjoint of the argument, after [`Function::backward`].
    fn adjoint(&self) -> &[T];
    /// Computes the function.
    fn forward(&mut self);
    /// Turns the adjoint of the result into that of the argument; call it at
    /// most once after each [`Function::forward`].
    fn backward(&mut self);
}
