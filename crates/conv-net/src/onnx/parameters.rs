//! What a layer's weights and bias are made of.

use std::ops::Range;

use super::constants::{Constant, FileError, Files};

/// The constants of which a layer's weights and bias are made.
#[derive(Debug)]
pub(super) struct Parameters {
    pub weights: Constant,
    /// Whether they are `[in][out]`.
    pub transposed: bool,
    /// What they are multiplied by.
    pub factor: f32,
    /// One element, or one an output channel.
    pub bias: Option<Constant>,
    pub bias_factor: f32,
    pub normalisation: Option<Normalisation>,
}

/// A batch normalisation: `(x − mean) · scale / √(variance + epsilon) + shift` for each channel.
#[derive(Debug)]
pub(super) struct Normalisation {
    pub scale: Constant,
    pub shift: Constant,
    pub mean: Constant,
    pub variance: Constant,
    pub epsilon: f32,
}

impl Parameters {
    /// What each channel's weights are multiplied by.
    pub fn factors(&mut self, files: &mut Files, channels: Range<usize>) -> Result<Vec<f32>, FileError> {
        let factor = self.factor;
        let scales = self.scales(files, channels)?;
        Ok(scales.into_iter().map(|scale| factor * scale).collect())
    }

    /// What the normalisation multiplies each channel by.
    pub fn scales(&mut self, files: &mut Files, channels: Range<usize>) -> Result<Vec<f32>, FileError> {
        let mut scales = vec![1.0; channels.len()];
        if let Some(Normalisation { scale, variance, epsilon, .. }) = &mut self.normalisation {
            scale.read(files, channels.start, &mut scales)?;
            let mut variances = vec![0.0; channels.len()];
            variance.read(files, channels.start, &mut variances)?;
            for (scale, variance) in scales.iter_mut().zip(variances) {
                *scale = (f64::from(*scale) / (f64::from(variance) + f64::from(*epsilon)).sqrt()) as f32;
            }
        }
        Ok(scales)
    }
}
