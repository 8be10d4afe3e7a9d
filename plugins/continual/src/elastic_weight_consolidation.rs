//! `continual.elastic-weight-consolidation`: weights that matter for earlier tasks
//! are kept.

use pallium_core::Tensor;
use pallium_core::ndarray::{Array2, Zip};
use pallium_core::prelude::*;

use crate::{carried, check_shape};

pallium_core::params! {
    /// Parameters of `continual.elastic-weight-consolidation`.
    pub struct Params {
        /// Factor λ of the penalty (at least 0).
        strength: f64 = 1000.0,
    }
}

/// λ/2 Σₖ Σ Fₖ (w − wₖ)², summed over the earlier tasks k of a training on several
/// tasks, one after another: wₖ are the weights at the end of task k and Fₖ their
/// importance, the mean of the squared gradients of the task's loss over the
/// updates of task k. During the first task there is no penalty.
///
/// Kirkpatrick et al. take the gradients of single trials at the end of the task
/// (the diagonal of the Fisher information). Those of batches, which a training
/// computes anyway, have squares that are smaller by up to the number of trials in
/// a batch; λ compensates.
///
/// The weights at the end of a task are those after the last update and the hard
/// constraints that are listed before this one, so list it after them.
///
/// Only sums are kept: Σₖ Fₖ (w − wₖ)² = A (w − m)² + a constant, where A = Σₖ Fₖ
/// and m is the mean of the wₖ with weights Fₖ.
pub struct ElasticWeightConsolidation {
    strength: f64,
    /// The task of the last update.
    task: Option<u32>,
    /// Σ of the squared gradients of this task, and their number.
    squares: Array2<f64>,
    updates: u64,
    /// The weights after the last update.
    last: Matrix,
    /// A, m and the constant of the tasks before.
    importance: Array2<f64>,
    anchor: Array2<f64>,
    constant: f64,
}

impl Component for ElasticWeightConsolidation {
    const ID: &'static str = "continual.elastic-weight-consolidation";
    const ABOUT: &'static str =
        "squared weight changes since earlier tasks, times importance for them; 0 for a single task";
    const CITE: &'static str = "Kirkpatrick et al. 2017, PNAS 114:3521; sum of quadratic penalties: Huszár 2018, PNAS \
                                115:E2496";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        let shape = setting.shape()?;
        Ok(ElasticWeightConsolidation {
            strength: params.strength,
            task: None,
            squares: Array2::zeros(shape),
            updates: 0,
            last: Matrix::zeros(shape),
            importance: Array2::zeros(shape),
            anchor: Array2::zeros(shape),
            constant: 0.0,
        })
    }
}

impl ElasticWeightConsolidation {
    /// Whether the task at this point is not that of the last update.
    fn has_changed(&self, at: &Point<'_>) -> bool {
        at.epoch > 0 && self.task.is_some_and(|task| task != at.task)
    }

    /// Adds the importance and the weights of the task that has ended.
    fn consolidate(&mut self) {
        let (count, mut constant) = (self.updates as f64, 0.0);
        Zip::from(&mut self.importance).and(&mut self.anchor).and(&self.squares).and(&self.last).for_each(
            |importance, anchor, &squares, &last| {
                let new = squares / count;
                let (sum, apart) = (*importance + new, f64::from(last) - *anchor);
                if sum > 0.0 {
                    constant += *importance * (new / sum) * apart * apart;
                    *anchor += new / sum * apart;
                    *importance = sum;
                }
            },
        );
        self.constant += constant;
        self.squares.fill(0.0);
        self.updates = 0;
    }
}

impl Constraint for ElasticWeightConsolidation {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        mut gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64> {
        check_shape("weights", self.last.dim(), weights.dim())?;
        check_shape("gradient", self.last.dim(), gradient.dim())?;
        // Before the first update of a new task, the task before is not yet in the
        // sums: a penalty changes no memory.
        let per_update = if self.has_changed(at) { 1.0 / self.updates as f64 } else { 0.0 };
        let (strength, mut sum) = (self.strength, self.constant);
        let mut add = |g: &mut f32, importance: f64, change: f64| {
            *g += (strength * importance * change) as f32;
            sum += importance * change * change;
        };
        Zip::from(&mut gradient)
            .and(&weights)
            .and(&self.importance)
            .and(&self.anchor)
            .for_each(|g, &w, &importance, &anchor| add(g, importance, f64::from(w) - anchor));
        if per_update > 0.0 {
            Zip::from(&mut gradient).and(&weights).and(&self.squares).and(&self.last).for_each(
                |g, &w, &squares, &last| add(g, squares * per_update, f64::from(w) - f64::from(last)),
            );
        }
        Ok(0.5 * strength * sum)
    }

    fn wants_loss_gradient(&self) -> bool {
        true
    }

    fn project(&mut self, weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        check_shape("weights", self.last.dim(), weights.dim())?;
        match at.loss_gradient {
            Some(gradient) => {
                check_shape("gradient", self.last.dim(), gradient.dim())?;
                if self.has_changed(at) {
                    self.consolidate();
                }
                self.task = Some(at.task);
                self.updates += 1;
                self.squares.zip_mut_with(&gradient, |sum, &g| *sum += f64::from(g).powi(2));
            }
            None if at.epoch > 0 => {
                return Err(Error::bug(format!("no gradient of the loss after update {}", at.step)));
            }
            None => {}
        }
        self.last.assign(&weights);
        Ok(())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(vec![
            Tensor::new("task", [1], vec![self.task.map_or(-1, i64::from)]),
            Tensor::new("updates", [1], vec![self.updates]),
            Tensor::from_view("squares", self.squares.view()),
            Tensor::from_view("last", self.last.view()),
            Tensor::from_view("importance", self.importance.view()),
            Tensor::from_view("anchor", self.anchor.view()),
            Tensor::new("constant", [1], vec![self.constant]),
        ])
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let (rows, columns) = self.last.dim();
        let shape = [rows, columns];
        let task = Tensor::find::<i64>(state, "task", &[1])?[0];
        let updates = Tensor::find::<u64>(state, "updates", &[1])?[0];
        let constant = Tensor::find::<f64>(state, "constant", &[1])?[0];
        let squares = Tensor::find::<f64>(state, "squares", &shape)?;
        let importance = Tensor::find::<f64>(state, "importance", &shape)?;
        let anchor = Tensor::find::<f64>(state, "anchor", &shape)?;
        let last = Tensor::find::<f32>(state, "last", &shape)?;
        (self.task, self.updates, self.constant) = (u32::try_from(task).ok(), updates, constant);
        for (to, from) in
            [(&mut self.squares, squares), (&mut self.importance, importance), (&mut self.anchor, anchor)]
        {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
        self.last.iter_mut().zip(last).for_each(|(to, &from)| *to = from);
        Ok(())
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        // A connection that is added does not matter for earlier tasks.
        for of in [&mut self.squares, &mut self.importance, &mut self.anchor] {
            *of = carried(change, of)?;
        }
        self.last = carried(change, &self.last)?;
        Ok(())
    }
}
pallium_core::register!(Constraint, ElasticWeightConsolidation);

#[cfg(test)]
mod tests {
    use pallium_testkit::{World, gradient_error};

    use super::*;

    const N: usize = 12;

    fn built(strength: f64, world: &World) -> ElasticWeightConsolidation {
        ElasticWeightConsolidation::build(Params { strength }, &world.setting()).unwrap()
    }

    /// Update number `step` of a training, three of each task.
    fn update(world: &World, elastic: &mut ElasticWeightConsolidation, step: u64) -> (f64, Matrix) {
        let loss_gradient = gradient_of(world, step);
        let mut at = Point::new("recurrent");
        (at.step, at.epoch, at.task) = (step, 1, step as u32 / 3);
        at.loss_gradient = Some(loss_gradient.view());
        let mut gradient = Matrix::zeros((N, N));
        let value = elastic.penalty(weights_before(world, step).view(), gradient.view_mut(), &at).unwrap();
        at.step += 1;
        elastic.project(weights_before(world, step + 1).view_mut(), &at).unwrap();
        (value, gradient)
    }

    fn weights_before(world: &World, step: u64) -> Matrix {
        world.weights(100 + step)
    }

    fn gradient_of(world: &World, step: u64) -> Matrix {
        world.weights(200 + step) * 0.01
    }

    /// The sum over earlier tasks by its definition.
    fn expected(world: &World, strength: f64, step: u64, (i, j): (usize, usize)) -> (f64, f64) {
        let w = f64::from(weights_before(world, step)[[i, j]]);
        (0..step / 3).fold((0.0, 0.0), |(value, slope), task| {
            let fisher = (3 * task..3 * task + 3)
                .map(|step| f64::from(gradient_of(world, step)[[i, j]]).powi(2) / 3.0)
                .sum::<f64>();
            let change = w - f64::from(weights_before(world, 3 * task + 3)[[i, j]]);
            (value + strength / 2.0 * fisher * change * change, slope + strength * fisher * change)
        })
    }

    #[test]
    fn the_penalty_is_the_sum_over_earlier_tasks() {
        let world = World::new(N, 1);
        let mut elastic = built(1000.0, &world);
        for step in 0..12 {
            let (value, gradient) = update(&world, &mut elastic, step);
            let mut sum = 0.0;
            for (at, &found) in gradient.indexed_iter() {
                let (value, slope) = expected(&world, 1000.0, step, at);
                sum += value;
                let scale = slope.abs().max(1e-3);
                assert!((f64::from(found) - slope).abs() < 1e-6 * scale, "step {step}: {found} {slope}");
            }
            assert!((value - sum).abs() <= 1e-12 * sum, "step {step}: {value} {sum}");
            assert_eq!(value == 0.0, step <= 3, "the first task, and its own end");
        }
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_penalty() {
        let world = World::new(N, 1);
        let mut elastic = built(1000.0, &world);
        for step in 0..8 {
            update(&world, &mut elastic, step);
        }
        let error = gradient_error(&mut elastic, &world.weights(1), 1).unwrap();
        assert!(error < 1e-3, "{error}");
    }

    #[test]
    fn a_restored_one_continues_bit_identically() {
        let world = World::new(N, 1);
        for saved_after in [0, 1, 3, 5] {
            let mut through = built(10.0, &world);
            for step in 0..saved_after {
                update(&world, &mut through, step);
            }
            let mut resumed = built(10.0, &world);
            resumed.restore(&through.state().unwrap()).unwrap();
            for step in saved_after..10 {
                let (one, two) = (update(&world, &mut through, step), update(&world, &mut resumed, step));
                assert_eq!(one.0.to_bits(), two.0.to_bits());
                assert_eq!(one.1.mapv(f32::to_bits), two.1.mapv(f32::to_bits));
            }
            assert_eq!(through.state().unwrap(), resumed.state().unwrap());
        }
    }

    #[test]
    fn a_training_without_gradients_is_refused() {
        let world = World::new(N, 1);
        let mut elastic = built(10.0, &world);
        assert!(elastic.wants_loss_gradient());
        let mut at = Point::new("recurrent");
        elastic.project(world.weights(1).view_mut(), &at).unwrap();
        at.epoch = 1;
        assert!(elastic.project(world.weights(1).view_mut(), &at).is_err());
    }
}
