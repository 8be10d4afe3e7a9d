//! Constraints that take only matrices, in networks on connections.

use ndarray::{ArrayViewMut3, Zip};
use pallium_core::{
    Activity, Connections, ConnectionsView, Constraint, Error, Matrix, MatrixView, MatrixViewMut, Point,
    Result, RewiringView, Setting, Tensor,
};

use crate::geometry::Places;

/// Largest number of neurons up to which components that take only matrices are
/// offered one. A matrix of 4,096 neurons has 67 MB.
pub const MATRIX_UP_TO: usize = 4096;

/// The refusal of a component that takes only matrices; `instead` is what to do.
pub(super) fn only_matrices(id: &str, neurons: usize, instead: &str) -> Error {
    Error::unsupported(format!(
        "`{id}` takes only matrices, and a matrix of {neurons} neurons is above the limit of {MATRIX_UP_TO}"
    ))
    .help(format!("{instead}; `pallium plugins show ID` says which components take connections"))
}

/// Offers a constraint the matrix with the weights of the connections and 0
/// elsewhere. Its gradient is taken at the connections.
pub(super) struct OnMatrix {
    id: String,
    inner: Box<dyn Constraint>,
    connections: Connections,
}

impl OnMatrix {
    /// Builds the constraint `id` by `build`, for the matrix of all pairs.
    pub fn build(
        id: &str,
        connections: ConnectionsView<'_>,
        base: &Setting<'_>,
        places: Option<&Places>,
        build: impl FnOnce(&Setting<'_>) -> Result<Box<dyn Constraint>>,
    ) -> Result<Box<dyn Constraint>> {
        let neurons = base.neurons()?;
        if neurons > MATRIX_UP_TO {
            return Err(only_matrices(id, neurons, "leave it out"));
        }
        let distance = places.map(Places::all);
        let setting =
            Setting { connections: None, distance: distance.as_ref().map(|d| d.view()), ..base.reborrow() };
        let inner = build(&setting)?;
        Ok(Box::new(OnMatrix { id: id.to_owned(), inner, connections: connections.to_owned() }))
    }

    fn whole(&self, values: MatrixView<'_>) -> Matrix {
        let values: Vec<f32> = values.iter().copied().collect();
        self.connections.view().scatter(&values)
    }

    /// Calls the constraint with the point of the matrix.
    fn at<R>(
        &mut self,
        at: &Point<'_>,
        call: impl FnOnce(&mut dyn Constraint, &Point<'_>) -> Result<R>,
    ) -> Result<R> {
        let [initial, loss] = [at.initial, at.loss_gradient].map(|part| part.map(|part| self.whole(part)));
        let mut point = Point::new(at.parameter);
        (point.step, point.updates, point.epoch, point.task) = (at.step, at.updates, at.epoch, at.task);
        point.initial = initial.as_ref().map(|m| m.view());
        point.loss_gradient = loss.as_ref().map(|m| m.view());
        call(self.inner.as_mut(), &point)
    }
}

impl Constraint for OnMatrix {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        mut gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64> {
        let whole = self.whole(weights);
        let mut all = Matrix::zeros(whole.dim());
        let penalty = self.at(at, |inner, at| inner.penalty(whole.view(), all.view_mut(), at))?;
        for (to, from) in gradient.iter_mut().zip(self.connections.view().gather(all.view())) {
            *to += from;
        }
        Ok(penalty)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        let before = self.whole(weights.view());
        let mut whole = before.clone();
        self.at(at, |inner, at| inner.project(whole.view_mut(), at))?;
        let kept = self.connections.view().gather(whole.view());
        weights.iter_mut().zip(&kept).for_each(|(to, from)| *to = *from);
        // What is left is at absent pairs.
        let only = self.connections.view().scatter(&kept);
        let mut filled = 0_usize;
        Zip::from(&whole).and(&only).for_each(|a, b| filled += usize::from(a != b && !a.is_nan()));
        match filled {
            0 => Ok(()),
            _ => Err(Error::unsupported(format!(
                "`{}` gives weights to {filled} pairs that are not connected",
                self.id
            ))
            .help("its rule needs all pairs: leave it out, or leave the variant's `connections` out")),
        }
    }

    fn wants_activity(&self) -> bool {
        self.inner.wants_activity()
    }

    fn wants_loss_gradient(&self) -> bool {
        self.inner.wants_loss_gradient()
    }

    fn activity_penalty(&mut self, activity: &Activity<'_>, gradient: ArrayViewMut3<'_, f32>) -> Result<f64> {
        self.inner.activity_penalty(activity, gradient)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        self.inner.state()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        self.inner.restore(state)
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        self.connections = change.connections.to_owned();
        Ok(())
    }
}
