//! Pools and reductions.

use super::super::attributes::Attributes;
use super::super::graph::Refusal;
use super::super::movement;
use super::convolution::{WINDOW, windows};
use super::{Step, not_computed};
use crate::operators::{AveragePool, Operator, Pool, Reduce, Reduction, Window};
use crate::shape::Shape;

impl Step<'_, '_> {
    pub(super) fn max_pool(mut self) -> Result<(), Refusal> {
        if self.node.output.len() > 1 {
            return Err("has the indices of the maxima as an output".into());
        }
        let pool = self.pool(&["storage_order"])?;
        let input = self.import.value(self.node, 0)?;
        self.finish(Operator::MaxPool(pool), &[input], Vec::new())
    }

    pub(super) fn average_pool(mut self) -> Result<(), Refusal> {
        let pool = self.pool(&["count_include_pad"])?;
        let count_padding = Attributes::any(self.node).int("count_include_pad", 0)? != 0;
        let input = self.import.value(self.node, 0)?;
        self.finish(Operator::AveragePool(AveragePool { pool, count_padding }), &[input], Vec::new())
    }

    fn pool(&self, more: &[&str]) -> Result<Pool, Refusal> {
        let attributes = Attributes::of(self.node, &[&WINDOW[..], &["ceil_mode"], more].concat())?;
        attributes.only("storage_order", &[0, 1])?;
        let shape = self.import.shape(self.import.value(self.node, 0)?)?;
        let mut windows = windows(&attributes, &shape, None)?;
        for Window { kernel, dilation, .. } in &mut windows {
            // A window of one element is dense.
            if *kernel == 1 {
                *dilation = 1;
            }
        }
        Ok(Pool { windows, ceil: attributes.int("ceil_mode", 0)? != 0 })
    }

    pub(super) fn global_pool(mut self) -> Result<(), Refusal> {
        Attributes::of(self.node, &[])?;
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let operator = whole(&shape, self.node.op_type == "GlobalMaxPool");
        self.finish(operator?, &[input], Vec::new())
    }

    pub(super) fn reduce(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["axes", "keepdims", "noop_with_empty_axes"])?;
        let reduction = match self.node.op_type.as_str() {
            "ReduceMean" => Reduction::Mean,
            "ReduceSum" => Reduction::Sum,
            "ReduceMax" => Reduction::Max,
            "ReduceMin" => Reduction::Min,
            "ReduceSumSquare" => Reduction::SumSquare,
            "ReduceL2" => Reduction::L2,
            other => return Err(not_computed(other)),
        };
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let given = match attributes.ints("axes")? {
            Some(axes) => Some(axes.to_vec()),
            None => self.import.integers(self.node, 1)?,
        };
        let axes = match given.filter(|axes| !axes.is_empty()) {
            Some(axes) => movement::axes(&axes, shape.rank()).map_err(Refusal::Wrong)?,
            None if attributes.int("noop_with_empty_axes", 0)? != 0 => return self.same(input),
            None => (0..shape.rank()).collect(),
        };
        let keep = attributes.int("keepdims", 1)? != 0;
        if keep && axes == [2, 3] && matches!(reduction, Reduction::Mean | Reduction::Max) {
            let operator = whole(&shape, reduction == Reduction::Max)?;
            return self.finish(operator, &[input], Vec::new());
        }
        self.finish(Operator::Reduce(Reduce { reduction, axes, keep }), &[input], Vec::new())
    }
}

/// One window over the whole map.
fn whole(shape: &Shape, max: bool) -> Result<Operator, Refusal> {
    let map = shape.map().filter(|_| (3..=4).contains(&shape.rank()));
    let pool = Pool::whole(map.ok_or_else(|| format!("reads {shape}, which is no map"))?);
    Ok(if max { Operator::MaxPool(pool) } else { Operator::AveragePool(AveragePool { pool, count_padding: false }) })
}
