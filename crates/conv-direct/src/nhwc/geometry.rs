//! The loops of a problem, and the ways through an image.

use conv_core::{Axis, Problem};

/// One way through the image, across or down, and how far apart its steps lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direction {
    pub axis: Axis,
    /// Floats from one input pixel to the next.
    pub input: usize,
    /// Rows of weights from one tap to the next.
    pub weights: usize,
    /// Floats from one output pixel to the next.
    pub output: usize,
}

/// The loops of a problem. A dense 1×1 filter at stride 1 is a matrix product: all pixels of the batch form one row.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    pub images: usize,
    pub height: Axis,
    pub width: Axis,
    /// Floats of one input pixel, all groups.
    pub in_channels: usize,
    /// Floats from one output pixel to the next.
    pub output_pitch: usize,
    /// Output rows and columns.
    pub output: [usize; 2],
}

impl Geometry {
    pub fn new(problem: &Problem, output_pitch: usize) -> Self {
        let (height, width) = (*problem.height(), *problem.width());
        let pointwise = |axis: &Axis| *axis == Axis::new(axis.input, 1);
        let (images, height, width) = if pointwise(&height) && pointwise(&width) {
            (1, Axis::new(1, 1), Axis::new(problem.batch() * height.input * width.input, 1))
        } else {
            (problem.batch(), height, width)
        };
        Geometry {
            images,
            height,
            width,
            in_channels: problem.in_channels(),
            output_pitch,
            output: [height.output(), width.output()],
        }
    }

    /// Floats of the input from one output pixel's to the next one's in its row.
    pub fn pitch(&self) -> usize {
        self.width.stride * self.in_channels
    }

    /// Along an image's rows.
    pub fn across(&self, problem: &Problem) -> Direction {
        Direction {
            axis: self.width,
            input: self.in_channels,
            weights: problem.group_in_channels(),
            output: self.output_pitch,
        }
    }

    /// Down its columns.
    pub fn down(&self, problem: &Problem) -> Direction {
        Direction {
            axis: self.height,
            input: self.width.input * self.in_channels,
            weights: self.width.kernel * problem.group_in_channels(),
            output: self.output[1] * self.output_pitch,
        }
    }
}
